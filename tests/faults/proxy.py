"""A TCP proxy between a driver and PostgreSQL that cuts a connection at a chosen moment.

It knows just enough of the protocol (postgresql.org/docs/current/protocol-message-formats.html):
messages are recognized by what they contain, an answer is whole when the server is ready again.
"""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

import sqlalchemy as sa

_READY = re.compile(rb"Z\x00\x00\x00\x05[ITE]")


class Cut(Enum):
    """When a connection is cut."""

    BEFORE = auto()
    """Before the message reaches the server."""
    AFTER = auto()
    """When the server has the message, and has not answered yet."""
    ANSWERED = auto()
    """When the server has done what it says and has answered, before the answer arrives."""
    LATE = auto()
    """Before the message reaches the server, which it does later, when `release` is called."""


@dataclass
class Rule:
    """Cut a connection when a message holds `marker`, as many `times`."""

    marker: bytes
    cut: Cut
    times: int = 1
    hit: threading.Event = field(default_factory=threading.Event)
    """A client was cut off."""
    answered: threading.Event = field(default_factory=threading.Event)
    """The server has dealt with the message."""


class Proxy:
    """Listens on a port of its own; everything goes to `port`, and back."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._threads: list[threading.Thread] = []
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.accepted = 0
        self._start(self._accept)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def url(self, direct: str) -> str:
        """The URL of a database through the proxy."""
        made = sa.make_url(direct)
        plain = made.set(
            host="127.0.0.1",
            port=self.port,
            # What is encrypted could not be recognized.
            query={"sslmode": "disable", "gssencmode": "disable"},
        )
        return plain.render_as_string(hide_password=False)

    def cut(self, marker: str, when: Cut, *, times: int = 1) -> Rule:
        """Cut the connection by which a message with this text is sent."""
        rule = Rule(marker.encode(), when, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def cut_all(self) -> None:
        """Cut every connection now."""
        for link in list(self._links):
            link.cut()

    def release(self) -> None:
        """Let go what was held back by LATE."""
        self._released.set()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._released.set()
        self.cut_all()
        for thread in self._threads:
            thread.join(30)

    def matching(self, message: bytes) -> Rule | None:
        """The rule that this message meets; it counts as met."""
        with self._lock:
            for rule in self._rules:
                if rule.times and rule.marker in message:
                    rule.times -= 1
                    return rule
        return None

    def wait_for_release(self) -> None:
        self._released.wait(300)

    def forget(self, link: "_Link") -> None:
        self._links.discard(link)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                _reset(client)
                continue
            link = _Link(self, client, server)
            self._links.add(link)
            self._start(link.forward)
            self._start(link.back)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()


class _Link:
    """One connection and its two directions."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._unanswered: Rule | None = None

    def forward(self) -> None:
        """From the client to the server."""
        while data := _received(self._client):
            rule = self._proxy.matching(data)
            if rule is None:
                _sent(self._server, data)
                continue
            if rule.cut is Cut.BEFORE:
                self.cut()
                rule.hit.set()
                return
            self._unanswered = rule
            if rule.cut is Cut.LATE:
                self._cut_client(rule)
                self._proxy.wait_for_release()
            _sent(self._server, data)
            if rule.cut is Cut.AFTER:
                self._cut_client(rule)
            if rule.cut is not Cut.ANSWERED:
                return
        self.cut()

    def back(self) -> None:
        """From the server to the client."""
        while data := _received(self._server):
            rule = self._unanswered
            if rule is None:
                _sent(self._client, data)
            elif _READY.search(data):
                self.cut()
                rule.hit.set()
                rule.answered.set()
                return
        self.cut()

    def cut(self) -> None:
        _reset(self._client)
        _reset(self._server)
        self._proxy.forget(self)

    def _cut_client(self, rule: Rule) -> None:
        _reset(self._client)
        rule.hit.set()


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(1 << 20)
    except OSError:
        return b""


def _sent(end: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        end.sendall(data)


def _reset(end: socket.socket) -> None:
    """Close with RST, as a connection ends whose other side is gone."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Wakes the thread that reads from it, which `close` alone does not.
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextlib.contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """A proxy for the time of a block."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
