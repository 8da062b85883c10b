"""`alembic revision --autogenerate` in a user's project: what it writes, and what that makes."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import spry_sqla as spry
from tests.migrations.conftest import Start
from tests.migrations.project import Failed, Project, as_created, contents, engine_of, model


@pytest.mark.parametrize(
    "within",
    [
        pytest.param(False, id="own metadata", marks=pytest.mark.long),
        pytest.param(True, id="the host's metadata"),
    ],
)
def test_a_migration_makes_what_create_all_makes(start: Start, within: bool) -> None:
    project = start(model("Player", "Team", within=within))
    if within:
        project.edit("[Base.metadata, domain.metadata]", "Base.metadata")
    before = contents(project.url)

    commands = project.migrate()

    assert commands.count("op.create_actor_tables(") == 2
    assert commands.count("op.drop_actor_tables(") == 2
    assert commands.count("op.create_spry_tables(") == 1
    migrated = contents(project.url)
    project.alembic("check")  # once more: to look has changed nothing
    project.alembic("downgrade", "base")
    assert contents(project.url) == before
    project.alembic("upgrade", "head")
    assert contents(project.url) == migrated
    assert as_created(project) == migrated


@pytest.mark.long
def test_the_library_works_on_what_a_migration_made(start: Start) -> None:
    project = start(model("Player"))
    project.migrate()
    module = project.module()

    players = spry.Storage(engine_of(project), module.domain).repository(module.Player)

    assert players.handle(module.MakePlayer("Ada")).unwrap() == module.Player("Ada")
    assert players.fetch(name="Ada") == module.Player("Ada")


@pytest.mark.long
def test_with_a_schema(tmp_path: Path, postgres_url: str) -> None:
    """Alembic looks into other schemas only where it is told to; ours are found all the same."""
    project = Project(tmp_path, postgres_url)
    project.write(model("Player", schema="Facts", prefix="x%_"))

    assert "schema='Facts', prefix='x%_'" in project.migrate()

    migrated = contents(project.url)
    assert as_created(project) == migrated
    project.configure("include_schemas=True")
    project.alembic("upgrade", "head")
    project.alembic("check")


def attach(project: Project) -> str:
    """Let a project have another file of SQLite as the schema `game`; the statement for it."""
    statement = f"ATTACH '{project.folder / 'game.db'}' AS game"
    project.edit(
        "with connectable.connect() as connection:\n",
        "with connectable.connect() as connection:\n"
        f"        connection.exec_driver_sql({statement!r})\n        connection.commit()\n",
    )
    return statement


def test_another_file_of_sqlite_is_left_alone(tmp_path: Path, sqlite_url: str) -> None:
    """SQLite finds in it what a statement without a schema does not find in the main one."""
    project = Project(tmp_path, sqlite_url)
    attach(project)
    project.write(model("Player", "Hero"))
    module, other = project.module(), f"sqlite:///{tmp_path / 'game.db'}"
    module.domain.metadata.create_all(sa.create_engine(other))
    before = contents(other)
    project.write(model("Player"))
    project.migrate()
    with engine_of(project).begin() as connection:
        connection.execute(sa.text("DROP TRIGGER player_events_no_update"))
        connection.execute(sa.text("DROP INDEX player_events_command_idx"))

    project.migrate()
    project.write(model("Hero<Player"))
    project.migrate()

    assert contents(other) == before


@pytest.mark.long
def test_in_an_attached_file_of_sqlite(tmp_path: Path, sqlite_url: str) -> None:
    """What SQLite calls a schema is a file that each connection attaches."""
    project = Project(tmp_path, sqlite_url)
    project.write(model("Player", schema="game"))
    attaching = attach(project)

    assert "op.create_actor_tables('Player', schema='game', format=1)" in project.migrate()
    project.configure("include_schemas=True")
    project.alembic("check")

    engine = engine_of(project)
    sa.event.listen(engine, "connect", lambda driver, _: driver.execute(attaching))
    module = project.module()
    with spry.Storage(engine, module.domain) as storage:
        storage.repository(module.Player).handle(module.MakePlayer("Ada")).unwrap()
        assert storage.repository(module.Player).fetch(name="Ada") == module.Player("Ada")
    migrated = contents(f"sqlite:///{tmp_path / 'game.db'}")
    project.alembic("downgrade", "base")
    assert contents(f"sqlite:///{tmp_path / 'game.db'}") == ""
    module.domain.metadata.create_all(engine)
    assert contents(f"sqlite:///{tmp_path / 'game.db'}") == migrated


def test_a_prefix_of_odd_characters_is_read_back(start: Start) -> None:
    project = start(model("Player", prefix="Odd %d 'x` [(,)] \\\\ é."))
    project.migrate()


@pytest.mark.long
def test_a_new_actor_adds_its_tables_alone(start: Start) -> None:
    project = start(model("Player"))
    project.migrate()
    project.write(model("Player", "Team"))

    commands = project.migrate()

    assert commands.count("op.") == 2
    assert "op.create_actor_tables('Team'" in commands
    assert "op.drop_actor_tables('Team'" in commands


def test_an_actor_that_is_gone_keeps_its_tables(start: Start) -> None:
    project = start(model("Player", "Team"))
    project.migrate()
    before = contents(project.url)
    project.write(model("Player"))

    project.alembic("check")

    assert "op." not in project.revision()
    assert contents(project.url) == before


@pytest.mark.long
def test_all_of_a_domain_gone_keeps_its_tables(start: Start) -> None:
    project = start(model("Player"))
    project.migrate()
    project.write(model())
    project.alembic("check")


UNGUARDED = {
    "sqlite": [f'DROP TRIGGER "team_events_no_{what}"' for what in ("update", "delete", "replace")],
    "postgresql": [
        f"DROP TRIGGER {name} ON team_events" for name in ("spry_refuse", "spry_refuse_row")
    ],
}


@pytest.mark.parametrize("wider", [False, True])
def test_an_unguarded_actor_that_is_gone_keeps_its_tables(start: Start, wider: bool) -> None:
    project = start(model("Player", "Team"))
    project.migrate()
    harms = [*UNGUARDED[sa.make_url(project.url).get_backend_name()]]
    if wider:
        harms.append("ALTER TABLE team_events ADD COLUMN note TEXT")
    with engine_of(project).begin() as connection:
        for harm in harms:
            connection.execute(sa.text(harm))
    project.write(model("Player"))
    project.alembic("check")


@pytest.mark.parametrize("name", ["A" + "b" * 76, "Ü" + "ü" * 40, "Aü" + "ü" * 40])
def test_an_unguarded_actor_of_a_long_name_keeps_its_tables(start: Start, name: str) -> None:
    """Their names are cut, and end with a hash."""
    head = "Team(spry.Actor"
    project = start(model("Player", "Team").replace(head, f"{head}, name={name!r}"))
    project.migrate()
    with engine_of(project).begin() as connection:
        for table in sa.inspect(connection).get_table_names():
            if not table.startswith(("player", "spry", "customer", "alembic")):
                if connection.dialect.name == "postgresql":
                    for guard in ("spry_refuse", "spry_refuse_row"):
                        connection.execute(sa.text(f'DROP TRIGGER {guard} ON "{table}"'))
                    continue
                guards = sa.text(
                    "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"
                )
                for guard in connection.scalars(guards, {"table": table}).all():
                    connection.execute(sa.text(f'DROP TRIGGER "{guard}"'))
    project.write(model("Player"))

    project.alembic("check")


def test_a_table_that_a_hand_has_dropped_is_restored_and_the_others_kept(start: Start) -> None:
    project = start(model("Player"))
    project.migrate()
    before = contents(project.url)
    with engine_of(project).begin() as connection:
        connection.execute(sa.text("DROP TABLE player_links"))

    assert "op.restore_actor_tables('Player', format=1)" in project.migrate()

    assert contents(project.url) == before
    project.alembic("downgrade", "-1")
    assert contents(project.url) == before


def test_who_may_only_read_can_check(tmp_path: Path, postgres_url: str) -> None:
    project = Project(tmp_path, postgres_url)
    project.write(model("Player"))
    project.migrate()
    with engine_of(project).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(
            f'ALTER DATABASE "{connection.engine.url.database}" '
            "SET default_transaction_read_only = on"
        )
    project.alembic("check")


def test_who_may_not_read_our_rows_can_check(tmp_path: Path, postgres_url: str) -> None:
    """The refusal does not break the transaction in which all the rest is looked at."""
    project = Project(tmp_path, postgres_url)
    project.write(model("Player"))
    project.migrate()
    role = f"reader_{sa.make_url(postgres_url).database}"
    with engine_of(project).begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(sa.text(f"GRANT SELECT ON alembic_version TO {role}"))
    project.edit(
        'prefix="sqlalchemy.",', f'prefix="sqlalchemy.", connect_args={{"user": "{role}"}},'
    )

    project.alembic("check")

    with engine_of(project).begin() as connection:
        connection.execute(sa.text("DROP TRIGGER spry_refuse ON player_events"))
    with pytest.raises(Failed, match="create_actor_guards"):
        project.alembic("check")


def test_a_check_leaves_nothing_behind_in_its_transaction(
    tmp_path: Path, postgres_url: str
) -> None:
    project = Project(tmp_path, postgres_url)
    project.write(model("Player"))
    domain = project.module().domain
    with engine_of(project).begin() as connection:
        domain.metadata.create_all(connection)
        functions = sa.text("SELECT count(*) FROM pg_proc WHERE proname LIKE 'spry%'")
        before = connection.scalar(functions)

        found = compare_metadata(MigrationContext.configure(connection), domain.metadata)

        assert found == []
        assert connection.scalar(functions) == before == 2


def test_the_operations_are_written_as_the_environment_names_them(start: Start) -> None:
    project = start(model("Player"))
    project.configure("alembic_module_prefix='migration.'")

    commands = project.revision()

    assert "migration.create_actor_tables('Player'" in commands
    assert "op." not in commands


@pytest.mark.long
def test_two_domains_in_one_database(start: Start) -> None:
    two = model("Player") + model("Player", prefix="b_").replace("domain =", "other =").replace(
        "class Base", "class Others"
    ).replace("class Customer(Base)", "class Supplier(Others)").replace('"customer"', '"supplier"')
    project = start(two.replace("Others.metadata", "Base.metadata"))
    project.edit("import Base, domain", "import Base, Others, domain, other")
    project.edit("domain.metadata]", "domain.metadata, Others.metadata, other.metadata]")

    commands = project.migrate()

    assert "op.create_actor_tables('Player', prefix='b_', format=1)" in commands
    assert commands.count("op.create_spry_tables(") == 2
    project.alembic("downgrade", "base")
    project.alembic("upgrade", "head")
    project.alembic("check")


CHANGED = (
    "UPDATE ON player_events FOR EACH ROW EXECUTE FUNCTION spry_refuse",
    "UPDATE OF type OR DELETE ON player_events FOR EACH ROW EXECUTE FUNCTION spry_refuse",
    "UPDATE OR DELETE ON player_events FOR EACH ROW WHEN (false) EXECUTE FUNCTION spry_refuse",
    "DELETE OR UPDATE ON player_events FOR ROW EXECUTE FUNCTION suppress_redundant_updates_trigger",
)
HARM = {
    "sqlite": [
        'DROP TRIGGER "player_events_no_update"',
        'DROP TRIGGER "player_id_map_no_replace"',
    ],
    "postgresql": [
        "DROP TRIGGER spry_refuse_row ON player_events",
        "ALTER TABLE player_commands ENABLE TRIGGER spry_refuse",
        "ALTER TABLE player_links DISABLE TRIGGER spry_refuse_row",
        *(
            "DO $$ BEGIN CREATE OR REPLACE TRIGGER spry_refuse_row BEFORE "
            f"{trigger}(); ALTER TABLE player_events ENABLE ALWAYS TRIGGER spry_refuse_row; END $$"
            for trigger in CHANGED
        ),
    ],
}
SHARED_HARM = {
    "sqlite": ['DROP TRIGGER "spry_format_no_delete"'],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION spry_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE OR REPLACE FUNCTION spry_transaction() RETURNS bigint LANGUAGE sql STABLE RETURN 1",
        "ALTER FUNCTION spry_transaction() VOLATILE",
    ],
}


@pytest.mark.parametrize("shared", [False, True], ids=["an actor's", "the shared tables'"])
def test_guards_that_a_hand_has_changed_are_made_anew(start: Start, shared: bool) -> None:
    project = start(model("Player"))
    project.migrate()
    before = contents(project.url)
    kind = sa.make_url(project.url).get_backend_name()
    wanted = "create_spry_guards(format=1)" if shared else "create_actor_guards('Player', format=1)"
    for harm in (SHARED_HARM if shared else HARM)[kind]:
        with engine_of(project).begin() as connection:
            connection.execute(sa.text(harm))
        with pytest.raises(Failed, match="create_spry_guards" if shared else "create_actor_guards"):
            project.alembic("check")

        assert f"op.{wanted}" in project.migrate()
        assert contents(project.url) == before
    project.alembic("downgrade", "-1")  # there were none that could be made again
    assert contents(project.url) != before
    project.alembic("upgrade", "head")
    assert contents(project.url) == before


@pytest.mark.parametrize("table", ["spry_format", "spry_epochs"])
def test_a_first_row_that_a_hand_has_deleted_comes_back(start: Start, table: str) -> None:
    project = start(model("Player"))
    project.migrate()
    before = contents(project.url)
    with engine_of(project).begin() as connection:
        delete = f"DELETE FROM {table}"
        if connection.dialect.name == "sqlite":
            guard = f"{table}_no_delete"
            text = connection.scalar(
                sa.text("SELECT sql FROM sqlite_master WHERE name = :guard"), {"guard": guard}
            )
            statements = [f"DROP TRIGGER {guard}", delete, text]
        else:
            guards = ("spry_refuse", "spry_refuse_row")
            statements = [f"ALTER TABLE {table} DISABLE TRIGGER {guard}" for guard in guards]
            statements += [delete]
            statements += [f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {each}" for each in guards]
        for statement in statements:
            connection.execute(sa.text(statement))
    assert contents(project.url) == before

    assert "op.create_spry_guards(format=1)" in project.migrate()

    with engine_of(project).connect() as connection:
        assert connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) == 1


def test_guards_of_a_changed_text_are_made_anew_on_sqlite(tmp_path: Path, sqlite_url: str) -> None:
    project = Project(tmp_path, sqlite_url)
    project.write(model("Player"))
    project.migrate()
    before = contents(project.url)
    with engine_of(project).begin() as connection:
        connection.execute(sa.text('DROP TRIGGER "player_events_no_delete"'))
        connection.execute(sa.text(
            'CREATE TRIGGER "player_events_no_delete" BEFORE DELETE ON "player_events" '
            "BEGIN SELECT 1; END"
        ))  # fmt: skip

    project.migrate()

    assert contents(project.url) == before


@pytest.mark.long
def test_in_batch_mode(start: Start) -> None:
    project = start(model("Player"))
    project.configure("render_as_batch=True")

    project.migrate()

    migrated = contents(project.url)
    assert as_created(project) == migrated


@pytest.mark.long
def test_types_and_defaults_are_compared_and_clean(start: Start) -> None:
    project = start(model("Player"))
    project.configure("compare_type=True, compare_server_default=True")
    project.migrate()


@pytest.mark.long
def test_what_the_host_leaves_out_is_left_out(start: Start) -> None:
    project = start(model("Player", "Team"))
    project.configure(
        "include_object=lambda item, name, kind, *_: not (name or '').startswith('team')"
    )

    commands = project.migrate()

    assert "create_actor_tables('Player'" in commands
    assert "Team" not in commands
