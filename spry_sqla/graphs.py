"""A hash of a directed graph whose nodes have texts but no names of their own.

A node's hash is made of its text and the hashes of its neighbours; where there are cycles, again
and again, until the first node's hash has heard of everything (the colour refinement of Weisfeiler
and Leman, 1968).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Node:
    """A text, as its digest, and the numbers of the nodes that it points at."""

    text: bytes
    edges: Sequence[int]
    ordered: bool
    """Whether the order of the edges matters."""


def hash_of(nodes: Mapping[int, Node], distances: Mapping[int, int]) -> dict[int, bytes]:
    """The hashes of nodes whose edges stay among them, each after what it points at is known.

    `distances` are the steps of a shortest way from the node that is asked for to each; its hash
    is the same for graphs that look the same from there, however their nodes are numbered.
    """
    hashes = {number: node.text for number, node in nodes.items()}
    cyclic = _from_the_leaves(nodes, hashes)
    told_apart = 0
    while (different := len({hashes[number] for number in cyclic})) > told_apart:
        told_apart = different
        _refine(nodes, hashes, cyclic)
    # Until the first node knows what the farthest one does.
    for _ in range(max((distances[number] for number in cyclic), default=0)):
        _refine(nodes, hashes, cyclic)
    return hashes


def _hash(node: Node, hashes: Mapping[int, bytes]) -> bytes:
    around = [hashes[edge] for edge in node.edges]
    if not node.ordered:
        around.sort()
    return sha256(node.text + b"".join(around)).digest()


def _from_the_leaves(nodes: Mapping[int, Node], hashes: dict[int, bytes]) -> list[int]:
    """Hash what reaches no cycle, once and for all; return the numbers of the other nodes."""
    open_edges = {number: len(node.edges) for number, node in nodes.items()}
    reached_by: dict[int, list[int]] = {number: [] for number in nodes}
    for number, node in nodes.items():
        for edge in node.edges:
            reached_by[edge].append(number)
    ready = [number for number, count in open_edges.items() if count == 0]
    while ready:
        number = ready.pop()
        hashes[number] = _hash(nodes[number], hashes)
        for other in reached_by[number]:
            open_edges[other] -= 1
            if open_edges[other] == 0:
                ready.append(other)
    return [number for number, count in open_edges.items() if count > 0]


def _refine(nodes: Mapping[int, Node], hashes: dict[int, bytes], numbers: list[int]) -> None:
    refined = [_hash(nodes[number], hashes) for number in numbers]
    hashes.update(zip(numbers, refined, strict=True))
