"""Tests of what ends a task with its children on Windows: a job object, and a console's event."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from peers.patience import PATIENCE
from simulator.started_process import python, until_there, with_process

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.simulator.processes.process import TaskProcess

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="Windows only")

#: A child in a process group and a console of its own, whose PID stands in `ready`.
_CHILD = (
    "own = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS\n"
    "sleeping = [sys.executable, '-S', '-c', 'import time; time.sleep(600)']\n"
    "child = subprocess.Popen(sleeping, creationflags=own, stdin=subprocess.DEVNULL,\n"
    "    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
    "pathlib.Path('begun').write_text(str(child.pid))\n"
    "os.replace('begun', 'ready')\n"
)
_PARENT_STAYS = f"{_CHILD}time.sleep(600)\n"

#: An agent, without a console or with one: it starts what follows, and asks it to stop.
_AGENT = """
import asyncio, os, pathlib, sys, time
from epm_task.simulator.processes.process import Capture, TaskProcess
async def main():
    process = await TaskProcess.start(sys.argv[1:], env=dict(os.environ), cwd=pathlib.Path.cwd(),
        captures=(Capture(), Capture()), run_id="run")
    while not os.path.exists("ready"):
        await asyncio.sleep(0.01)
    if os.path.exists("stay"):
        await asyncio.sleep(600)
    await process.end(60)
    code = await process.exited()
    await process.close()
    os._exit(code)
asyncio.run(main())
"""
_ENDS_WELL = (
    "signal.signal(signal.SIGBREAK, lambda *_: os._exit(9))\n"
    "pathlib.Path('ready').touch()\n"
    "while True: time.sleep(0.02)\n"
)


def _agent(folder: Path, script: str, flag: str) -> subprocess.Popen[bytes]:
    flags = getattr(subprocess, flag)
    command = [sys.executable, "-c", _AGENT, *python(script)]
    return subprocess.Popen(
        command,
        cwd=folder,
        creationflags=flags,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _until_ready(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (folder / "ready").exists():
        assert time.monotonic() < deadline, "the task did not begin"
        time.sleep(0.01)


@pytest.mark.parametrize("script", [_CHILD, _PARENT_STAYS])
def test_a_child_that_has_left_group_and_console_is_ended(tmp_path: Path, script: str) -> None:
    """Whether its parent lives or not: nothing leaves the job object."""

    async def body(process: TaskProcess) -> None:
        await until_there(tmp_path / "ready")
        pid = int((tmp_path / "ready").read_text())
        if script is _CHILD:
            assert await process.exited() == 0
        child = psutil.Process(pid)
        assert child in await process.members()
        await process.end(0.1)
        assert not psutil.pid_exists(pid)

    with_process(python(script), body, tmp_path)


def test_nothing_is_left_when_the_agent_is_killed(tmp_path: Path) -> None:
    """The system closes its handle of the job object."""
    (tmp_path / "stay").touch()
    with _agent(tmp_path, _PARENT_STAYS, "CREATE_NO_WINDOW") as agent:
        _until_ready(tmp_path)
        child = psutil.Process(int((tmp_path / "ready").read_text()))
        parent = psutil.Process(child.ppid())
        agent.kill()
        assert psutil.wait_procs([child, parent], timeout=PATIENCE)[1] == []


def test_without_a_console_the_task_is_killed(tmp_path: Path) -> None:
    """Nothing could ask it, and nothing waits for the grace."""
    with _agent(tmp_path, _ENDS_WELL, "DETACHED_PROCESS") as agent:
        assert agent.wait(PATIENCE / 2) == 137


@pytest.mark.wine_differs("it sends no CTRL_BREAK")
def test_with_a_console_the_task_is_asked(tmp_path: Path) -> None:
    """By CTRL_BREAK, and only that task: the agent shares the console and goes on."""
    with _agent(tmp_path, _ENDS_WELL, "CREATE_NO_WINDOW") as agent:
        assert agent.wait(PATIENCE / 2) == 9


def test_a_process_that_cannot_be_held_is_an_error() -> None:
    """Then nothing has run."""
    windows = importlib.import_module("epm_task.simulator.processes.windows")  # nowhere else
    with pytest.raises(OSError, match=r"\[WinError"):
        windows.Group(2**31 - 4, "NAME", "value")
