"""Task files that the simulator's tests run under an agent."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.simulator.embedded import Agent

#: No task: a program that does not end by itself.
SLEEP = "import time\ntime.sleep(600)\n"

SCANNER = '''
from pathlib import Path
from epm_task import TaskContext, TaskSettings, task

class ScannerSettings(TaskSettings, plugin="KeyScanner"):
    max_bytes: int = 65_536

@task(job_id="key-scanner", timeout_seconds=60)
def key_scanner(ctx: TaskContext, settings: ScannerSettings, *, root: Path, suffix: str = ".pem"):
    """Count files."""
    found = sum(p.stat().st_size <= settings.max_bytes for p in root.rglob(f"*{suffix}"))
    ctx.log.info("scan_finished", root=str(root), found=found)
    return {"found": found}

if __name__ == "__main__":
    key_scanner.main()
'''

TWO_TASKS = '''
from epm_task import TaskContext, Topic, task

NEWS = Topic("Jobs/talker/news")

@task
def sleeper(ctx: TaskContext, *, seconds: float = 60.0):
    """Sleep until it is told to stop."""
    ctx.log.info("asleep")
    ctx.stopping.wait(seconds)

@task(publishes=[NEWS], broker="optional")
def talker(ctx: TaskContext, *, words: list[str] = [], flag: bool = False):
    """Say something on two topics."""
    ctx.log.info("talked", words=words)
    ctx.publish(NEWS, {"words": words})
    return {"words": words, "flag": flag}

if __name__ == "__main__":
    talker.main()
'''


IN_A_PACKAGE = '''
from epm_task import task
{imports}

@task
def count():
    """Use another module of the package."""
    return {{"n": N}}

if __name__ == "__main__":
    count.main()
'''


def write(folder: Path, text: str, name: str = "my_task.py") -> Path:
    """Write a task file and return its path."""
    path = folder / name
    path.write_text(text)
    return path


def in_a_package(
    root: Path, imports: str, folder: str, packages: tuple[str, ...], number: int = 3
) -> Path:
    """Write a task file that imports `N = number` from its package, and return its path."""
    (root / folder / "inner").mkdir(parents=True)
    for package in packages:
        (root / package / "__init__.py").touch()
    for place in (root / folder, root / folder / "inner", (root / folder).parent):
        (place / "other.py").write_text(f"N = {number}\n")
    return write(root / folder, IN_A_PACKAGE.format(imports=imports), "tasks.py")


def call(
    agent: Agent, path: str, *, method: str = "GET", body: bytes | None = None, admin: bool = False
) -> tuple[int, bytes]:
    """Call the agent's API from this process; return status and body."""
    context: Any = ssl.create_default_context(cafile=str(agent.ca))
    if admin:
        context.load_cert_chain(agent.admin_cert, agent.admin_key)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    url = agent.base_url + path
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
