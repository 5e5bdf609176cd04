"""An agent process is a real `epm-task agent` on a root, which a test can stop or kill."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import httpx
from peers.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class AgentProcess:
    """A running agent.

    Args:
        root: Its folder.
        *options: Further options of `epm-task agent`.

    Attributes:
        facts: Where everything is, as `--json` prints it.
        said: File that takes its stderr, the live trace.
    """

    def __init__(self, root: Path, *options: str) -> None:
        self.said = root.parent / f"{root.name}-said.txt"
        command = [sys.executable, "-m", "epm_task.cli", "agent", "--root", str(root), "--json"]
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [*command, *options], stdout=subprocess.PIPE, stderr=said, text=True
            )
        self.facts: dict[str, Any] = json.loads(self._stdout().readline() or "{}")
        if not self.facts:
            self.__exit__()
            raise AssertionError(f"the agent did not start: {self.said.read_text()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        self._stdout().close()

    def admin(self) -> httpx.Client:
        """Return a client with the admin certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.facts["ca"])
        context.load_cert_chain(self.facts["admin_cert"], self.facts["admin_key"])
        url = self.facts["base_url"]
        return httpx.Client(base_url=url, verify=context, trust_env=False, timeout=PATIENCE)

    def _stdout(self) -> Any:
        return self.process.stdout


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Return the first true answer of *condition*; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
    return answer


def add_program(root: Path, command: str, text: str = "") -> Path:
    """Put a Python program into `Jobs/bin/`, which agents of every system can start."""
    path = root / "Jobs" / "bin" / command / f"{command}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def add_script(root: Path, command: str, text: str) -> None:
    """Put an executable script into `Jobs/bin/`."""
    path = root / "Jobs" / "bin" / command / command
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
