"""What another process makes of the data: a new interpreter, with another seed of hashes.

Run as a module it prints, as JSON, the fingerprint and the states of the actors that it is told of.
"""

import asyncio
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import spry_sqla as spry
from spry_conformance.adapter import Adapter
from spry_conformance.domain import ACTORS, Account, domain
from spry_conformance.faces import close, face
from spry_conformance.lab import Broken
from spry_conformance.states import everyone, fetched
from spry_conformance.steps import MAIN


def found(address: str) -> Adapter:
    """The adapter at an address, "module:name": an Adapter, or a function that gives one.

    Raises ImportError and AttributeError where it is not there, TypeError where it is none.
    """
    module, _, name = address.partition(":")
    at: Any = getattr(importlib.import_module(module), name)
    adapter = at if isinstance(at, Adapter) else at()
    if not isinstance(adapter, Adapter):
        raise TypeError(f"{address} is no Adapter of spry_conformance, nor gives one")
    return adapter


def ask(address: str, meta: spry.ActorMeta, hash_seed: int) -> Any:
    """What `tell` tells in a process of its own. Raises Broken where that process fails."""
    done = subprocess.run(  # noqa: S603  (this interpreter, and a module of the kit)
        [sys.executable, "-m", __name__, address, str(meta.revision)],
        env={
            **os.environ,
            "PYTHONHASHSEED": str(hash_seed),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Broken(f"a process that opened {address} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def tell(adapter: Adapter, of: spry.Domain, runner: asyncio.Runner) -> Any:
    """The fingerprint of accounts, and [actor type, place among its kind, state] of each actor."""
    opened = face(adapter.open(of, MAIN), runner)
    try:
        states: dict[str, list[str]] = {actor.__name__: [] for actor in ACTORS}
        for who in everyone(opened):
            states[who.actor.__name__].append(fetched(opened, who))
    finally:
        close(opened, adapter.close, runner)
    return [of.actor(Account).fingerprint, states]


def main(arguments: Sequence[str]) -> None:
    """Print what `tell` tells of the adapter at an address, to code of a revision."""
    address, revision = arguments
    with asyncio.Runner() as runner:
        told = tell(found(address), domain(spry.ActorMeta(revision=int(revision))), runner)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
