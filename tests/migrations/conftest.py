from pathlib import Path
from typing import Protocol

import pytest

from tests.migrations.project import Project


class Start(Protocol):
    def __call__(self, text: str, template: str = "generic") -> Project: ...


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Start:
    """Begins a project, on an empty database of each kind in turn."""

    def start(text: str, template: str = "generic") -> Project:
        project = Project(tmp_path, database_url, template)
        project.write(text)
        return project

    return start
