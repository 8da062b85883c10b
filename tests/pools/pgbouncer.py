"""The real pgbouncer, in transaction mode, where its program is installed."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.pools.pooler import through
from tests.postgres import PostgresServer

PROGRAM = shutil.which("pgbouncer")

_SETTINGS = """
[databases]
* = host={host} port={port} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
server_round_robin = 1
"""


@contextlib.contextmanager
def bounced(direct: str, size: int, server: PostgresServer) -> Iterator[str]:
    """The URL of a database through pgbouncer, for the time of a block."""
    assert PROGRAM is not None
    url = sa.make_url(direct)
    query: Any = url.query
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="spry-pgbouncer-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            _SETTINGS.format(host=query["host"], port=query["port"], listen=port, size=size)
        )
        with (folder / "log").open("w") as log:
            # Like the server, it refuses to run as root.
            process = subprocess.Popen(
                [PROGRAM, str(settings)], user=server.user, stdout=log, stderr=log, cwd="/"
            )
            try:
                _wait(port, process, folder / "log")
                yield through(url, port)
            finally:
                process.terminate()
                process.wait(30)


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
