"""A pooler in transaction mode: each transaction of a client on another connection to the server.

It speaks as much of PostgreSQL's protocol as that needs
(postgresql.org/docs/current/protocol-message-formats.html). A connection is a client's from the
first message of a transaction until the server is ready for another one. Then it goes to the end of
the row, as it is: what a client has left on it is found by the next, and not by itself.
"""

import asyncio
import contextlib
import itertools
import struct
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa

T = TypeVar("T")

_PROTOCOL_3 = 3 << 16
_CANCEL, _SSL, _GSS = 80877102, 80877103, 80877104
_AUTHENTICATED = b"R\x00\x00\x00\x08\x00\x00\x00\x00"
_READY = b"Z\x00\x00\x00\x05I"
_ENDS = (b"Q", b"S", b"F")
"""Messages that are answered with "ready": a query, the end of a pipeline, a function call."""


class Pooler:
    """Listens on a port of its own, with `size` connections to one database."""

    def __init__(self, direct: str, size: int) -> None:
        self._direct = sa.make_url(direct)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._keys = itertools.count(1)
        self._listening: set[asyncio.Task[None]] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = self._run(self._start(size))

    @property
    def url(self) -> str:
        """The URL of the database through the pooler."""
        return through(self._direct, self._port)

    def close(self) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self, size: int) -> int:
        self._free: asyncio.Queue[_Server] = asyncio.Queue()
        self._clients: dict[bytes, _Client] = {}
        for _ in range(size):
            await self._connect()
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def _stop(self) -> None:
        self._listener.close()
        for task in self._listening:
            task.cancel()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._listening, *self._serving, return_exceptions=True)

    # Servers ------------------------------------------------------------------------------------

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        query: Any = self._direct.query
        return await asyncio.open_unix_connection(f"{query['host']}/.s.PGSQL.{query['port']}")

    async def _connect(self) -> None:
        reader, writer = await self._open()
        try:
            parameters, key = await self._introduce(reader, writer)
        except BaseException:  # such as the end of the pooler
            writer.close()
            raise
        server = _Server(reader, writer, parameters, key)
        task = self._loop.create_task(self._listen(server))
        self._listening.add(task)
        task.add_done_callback(self._listening.discard)
        self._free.put_nowait(server)

    async def _introduce(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[bytes, bytes]:
        """The messages with the server's parameters, and the key to cancel by."""
        names = {"user": self._direct.username, "database": self._direct.database}
        parts = [f"{part}\0".encode() for pair in names.items() for part in pair]
        body = struct.pack("!i", _PROTOCOL_3) + b"".join(parts) + b"\0"
        writer.write(struct.pack("!i", len(body) + 4) + body)
        parameters, key, kind = b"", b"", b""
        while kind != b"Z":
            kind, message = await _message(reader)
            if kind == b"S":
                parameters += message
            elif kind == b"K":
                key = message[5:]
        return parameters, key

    async def _listen(self, server: "_Server") -> None:
        """Bring a server's answers to the client that has it; replace it when it is gone."""
        try:
            while True:
                kind, message = await _message(server.reader)
                if server.client is None:  # it says that it is about to end
                    continue
                server.client.writer.write(message)
                if kind == b"Z":
                    server.unanswered -= 1
                    if message == _READY and not (server.unanswered or server.begun):
                        server.client.server, server.client = None, None
                        server.done = True
                        self._free_if_done(server)
        except (asyncio.IncompleteReadError, OSError):
            server.alive = False
            if server.client is not None:
                server.client.server = None
                server.client.writer.close()
            await self._connect()
        finally:
            server.writer.close()

    def _free_if_done(self, server: "_Server") -> None:
        # A cancellation on its way would meet what the next client does, as in old pgbouncers.
        if server.done and not server.cancelled:
            server.done = False
            self._free.put_nowait(server)

    async def _take(self) -> "_Server":
        while True:
            server = await self._free.get()
            if server.alive:
                return server

    # Clients ------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: Any = asyncio.current_task()
        self._serving.add(task)
        self._writers.add(writer)
        client = _Client(writer, struct.pack("!ii", next(self._keys), 0))
        try:
            if await self._greet(reader, client):
                await self._forward(reader, client)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._clients.pop(client.key, None)
            if client.server is not None:  # in the midst of a transaction: nobody else may have it
                client.server.client, client.server = None, client.server
                client.server.writer.close()
            writer.close()
            self._writers.discard(writer)
            self._serving.discard(task)

    async def _greet(self, reader: asyncio.StreamReader, client: "_Client") -> bool:
        """Let a client in; False where it has only come to cancel what another one does."""
        while True:
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code == _CANCEL:
                await self._cancel(body[4:])
                return False
            if code in (_SSL, _GSS):
                client.writer.write(b"N")
                continue
            server = await self._take()
            self._free.put_nowait(server)
            self._clients[client.key] = client
            key = b"K\x00\x00\x00\x0c" + client.key
            client.writer.write(_AUTHENTICATED + server.parameters + key + _READY)
            return True

    async def _forward(self, reader: asyncio.StreamReader, client: "_Client") -> None:
        while True:
            kind, message = await _message(reader)
            if kind == b"X":
                return
            if client.server is None:
                client.server = await self._take()
                client.server.client = client
            server = client.server
            server.begun = kind not in _ENDS
            server.unanswered += kind in _ENDS
            server.writer.write(message)

    async def _cancel(self, key: bytes) -> None:
        client = self._clients.get(key)
        if client is None or client.server is None:
            return
        server = client.server
        server.cancelled += 1
        try:
            reader, writer = await self._open()
            writer.write(struct.pack("!ii", len(server.key) + 8, _CANCEL) + server.key)
            await reader.read()  # to the end: then it has been passed on
            writer.close()
        finally:
            server.cancelled -= 1
            self._free_if_done(server)


class _Server:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        parameters: bytes,
        key: bytes,
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.parameters = parameters
        self.key = key
        self.client: _Client | None = None
        self.unanswered = 0
        self.begun = False
        """A message has come whose end has not."""
        self.cancelled = 0
        """Requests to cancel that are on their way."""
        self.done = False
        """No client has it any more, and none has got it yet."""
        self.alive = True


class _Client:
    def __init__(self, writer: asyncio.StreamWriter, key: bytes) -> None:
        self.writer = writer
        self.key = key
        self.server: _Server | None = None


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)


def through(direct: sa.URL, port: int) -> str:
    """The URL of a database, reached by a port of this machine."""
    # What is encrypted a pooler could not read.
    query = {"sslmode": "disable", "gssencmode": "disable"}
    made = direct.set(host="127.0.0.1", port=port, query=query)
    return made.render_as_string(hide_password=False)


@contextlib.contextmanager
def pooled(direct: str, size: int) -> Iterator[str]:
    """The URL of a database through a pooler, for the time of a block."""
    pooler = Pooler(direct, size)
    try:
        yield pooler.url
    finally:
        pooler.close()
