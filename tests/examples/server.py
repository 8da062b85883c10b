"""An application behind uvicorn, in a process of its own that may be killed."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.waiting import until
from tests.processes import SECONDS

ROOT = Path(__file__).parents[2]
RUNNING = re.compile(r"Uvicorn running on (?P<url>http://[\w.]+:\d+)")


def environment(**more: str) -> dict[str, str]:
    """That of a shell in which the environment of this Python is active."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    outside = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    return {**outside, "PATH": path, "PYTHONPATH": str(ROOT), **more}


class Server:
    """What a command such as `uvicorn shop:app` starts in a folder; it takes a free port."""

    def __init__(
        self, command: Sequence[str], folder: Path, log: Path, variables: Mapping[str, str]
    ) -> None:
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(**variables, UVICORN_PORT="0"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def log(self) -> str:
        """What it has printed until now."""
        return self._log.read_text()

    def url(self) -> str:
        """Where it can be reached, as soon as it can."""
        until(
            lambda: RUNNING.search(self.log) or self._process.poll() is not None,
            "a server runs",
            seconds=SECONDS,
        )
        running = RUNNING.search(self.log)
        assert running is not None, self.log
        return running["url"]

    def wait(self) -> int:
        """Its exit status, when it has ended by itself."""
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        self._process.wait(SECONDS)

    def stop(self) -> None:
        """SIGTERM, as a supervisor does; returns when it has ended."""
        self._process.terminate()
        self.wait()
