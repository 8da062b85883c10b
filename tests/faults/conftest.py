"""A PostgreSQL of these tests' own, which listens on TCP and may be crashed."""

import socket
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.faults.domain import domain
from tests.postgres import PostgresServer


@pytest.fixture(scope="package")
def tcp_server() -> Iterator[PostgresServer]:
    """A server that no other tests use."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # It waits for no disk: what crashes is the server, and not the machine.
    server = PostgresServer({"listen_addresses": "127.0.0.1", "port": port, "fsync": "off"})
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def tcp_url(tcp_server: PostgresServer) -> Iterator[str]:
    """The URL of a database on it with the tables of the counters."""
    with tcp_server.database() as url:
        engine = sa.create_engine(url)
        domain.metadata.create_all(engine)
        engine.dispose()
        yield url
