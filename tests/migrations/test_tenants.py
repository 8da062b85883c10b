"""Migrations for tenants, each in a schema of its own: `alembic -x tenant=north upgrade head`."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.schema import CreateSchema

import spry_sqla as spry
from tests.migrations.project import Failed, Project, contents, model

TENANTS = ("north", "South")
CONFIGURE = "context.configure(\n            connection=connection"

BY_TRANSLATION = """
        tenant = context.get_x_argument(as_dictionary=True)["tenant"]
        connection = connection.execution_options(schema_translate_map={None: tenant})
        context.configure(
            version_table_schema=tenant, connection=connection"""

BY_SEARCH_PATH = """
        from sqlalchemy import text

        tenant = context.get_x_argument(as_dictionary=True)["tenant"]
        connection.execute(text(f'SET search_path TO "{tenant}"'))
        connection.commit()
        connection.dialect.default_schema_name = tenant
        context.configure(
            connection=connection"""
"""Alembic's cookbook, "Rudimental Schema-Level Multi Tenancy for PostgreSQL Databases"."""


@pytest.fixture
def project(tmp_path: Path, postgres_url: str) -> Project:
    project = Project(tmp_path, postgres_url)
    project.write(model("Player"))
    with engine_of(project).begin() as connection:
        for tenant in TENANTS:
            connection.execute(CreateSchema(tenant))
    return project


def engine_of(project: Project, tenant: str | None = None) -> sa.Engine:
    engine = sa.create_engine(project.url, poolclass=sa.NullPool)
    return engine.execution_options(schema_translate_map={None: tenant} if tenant else {})


def alembic(project: Project, tenant: str, *arguments: str) -> str:
    return project.alembic("-x", f"tenant={tenant}", *arguments)


def migrate(project: Project) -> str:
    """Autogenerate for the first tenant, upgrade all, and see that nothing is left to do."""
    commands = project.revision("-x", f"tenant={TENANTS[0]}")
    for tenant in TENANTS:
        alembic(project, tenant, "upgrade", "head")
    for tenant in TENANTS:
        alembic(project, tenant, "check")
    return commands


WAYS = pytest.mark.parametrize(
    "way", [BY_TRANSLATION, BY_SEARCH_PATH], ids=["schema_translate_map", "search_path"]
)


@pytest.mark.long
@WAYS
def test_each_tenant_is_migrated_and_checked_by_itself(project: Project, way: str) -> None:
    if way is BY_TRANSLATION:  # Alembic itself does not compare the host's tables there
        project.edit("[Base.metadata, domain.metadata]", "domain.metadata")
    project.edit(CONFIGURE, way.lstrip())

    assert "op.create_actor_tables('Player', format=1)" in migrate(project)
    project.write(model("Player", "Team"))
    assert migrate(project).count("op.") == 2

    migrated = contents(project.url)
    module = project.module()
    for number, tenant in enumerate(TENANTS, start=1):
        players = spry.Storage(engine_of(project, tenant), module.domain).repository(module.Player)
        for _ in range(number):
            players.handle(module.MakePlayer("Ada"))
        assert len([*players.history(name="Ada")]) == number
        alembic(project, tenant, "downgrade", "base")
    for tenant in TENANTS:
        engine = engine_of(project, tenant)
        module.domain.metadata.create_all(engine)
        if way is BY_SEARCH_PATH:
            module.Base.metadata.create_all(engine)
    assert contents(project.url) == migrated


@pytest.mark.long
@WAYS
def test_a_renamed_actor_is_found_in_each(project: Project, way: str) -> None:
    project.edit("[Base.metadata, domain.metadata]", "domain.metadata")
    project.edit(CONFIGURE, way.lstrip())
    migrate(project)
    project.write(model("Hero<Player"))

    assert "op.rename_actor_tables('Player', 'Hero', format=1)" in migrate(project)

    assert "player" not in contents(project.url)  # also where another tenant has the same names


@pytest.mark.long
@WAYS
def test_what_a_hand_has_changed_is_found_where_it_was(project: Project, way: str) -> None:
    project.edit("[Base.metadata, domain.metadata]", "domain.metadata")
    project.edit(CONFIGURE, way.lstrip())
    migrate(project)
    with engine_of(project).begin() as connection:
        connection.execute(sa.text('DROP TRIGGER spry_refuse ON "South".player_events'))

    alembic(project, "north", "check")
    with pytest.raises(Failed, match="create_actor_guards"):
        alembic(project, "South", "check")
    commands = project.revision("-x", "tenant=South")
    alembic(project, "South", "upgrade", "head")

    assert "op.create_actor_guards('Player', format=1)" in commands
    alembic(project, "South", "check")


def test_with_alembic_told_to_look_into_the_schema(project: Project) -> None:
    project.edit("[Base.metadata, domain.metadata]", "domain.metadata")
    project.edit(CONFIGURE, BY_TRANSLATION.lstrip())
    project.configure(
        "include_schemas=True, "
        "include_name=lambda name, kind, parents: kind != 'schema' or name in (None, tenant)"
    )

    migrate(project)


def test_rows_of_a_tenant_are_not_replaced_by_a_renaming(project: Project) -> None:
    project.edit("[Base.metadata, domain.metadata]", "domain.metadata")
    project.edit(CONFIGURE, BY_TRANSLATION.lstrip())
    migrate(project)
    project.write(model("Hero<Player"))
    project.revision("-x", "tenant=north")
    project.write(model("Hero"))  # without the alias
    module, engine = project.module(), engine_of(project, "South")
    module.domain.metadata.create_all(engine)
    with spry.Storage(engine, module.domain) as storage:
        storage.repository(module.Hero).handle(module.MakeHero("Bob")).unwrap()

    alembic(project, "north", "upgrade", "head")
    with pytest.raises(spry.StorageFailure, match="is there already and holds rows"):
        alembic(project, "South", "upgrade", "head")

    with spry.Storage(engine, module.domain) as storage:
        assert storage.repository(module.Hero).exists(name="Bob")


def test_an_index_that_a_tenant_has_is_left_to_it(project: Project) -> None:
    """Alembic does not look where a schema_translate_map puts a table, and finds none missing."""
    project.edit("[Base.metadata, domain.metadata]", "domain.metadata")
    project.edit(CONFIGURE, BY_TRANSLATION.lstrip())
    migrate(project)
    with engine_of(project).begin() as connection:
        connection.execute(sa.text("CREATE INDEX by_type ON north.player_events (type)"))
    project.write(model("Hero<Player"))

    assert "drop_index" not in migrate(project)

    assert "CREATE INDEX by_type ON north.hero_events" in contents(project.url)
