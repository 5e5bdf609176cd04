"""Run a program under an agent in a box, as on an endpoint, and see what it leaves behind.

The program is in its final layout, the environment is empty, the working directory is another one,
and the program may write nothing.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from epm_task.contract.names import API_BASE_ARGUMENT
from epm_task.runtime.agent.address import agent_address
from epm_task.runtime.attestation.attestation import Unattested, check_listener
from epm_task.runtime.invocation import AT_ONCE
from epm_task.simulator.background import NoProcess
from epm_task.simulator.embedded import Agent
from epm_task.simulator.jobs.command import python_program
from epm_task.simulator.processes.tree import descendants, program_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from epm_task.freeze.installed import Installed
    from epm_task.simulator.background import StartedRun
    from epm_task.simulator.jobs.run import Run

#: A task that needs longer than this to do its work is verified by hand.
_RUN_SECONDS: Final = 120.0
_PAUSE_SECONDS: Final = 0.005
#: What every process of Windows has: without SystemRoot there are neither libraries nor entropy.
_SYSTEM: Final = ("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT")


class Sandbox:
    """An agent with a program in its layout, and the folders that the program must leave alone."""

    #: Why this system does not say who holds the agent's port; empty when it does.
    unattested: str = ""

    def __init__(self, agent: Agent, program: Installed, arguments: Sequence[str]) -> None:
        self.agent = agent
        self._program = program
        self._arguments = list(arguments)
        if program.manifest is not None and not any(a.startswith("--ca-file") for a in arguments):
            self.unattested = why_unattested(agent_address(agent.base_url))
            self._arguments += [f"--ca-file={agent.ca}"] if self.unattested else []
        place = agent.root / "Jobs" / "bin" / program.command
        if program.folder is not None:
            shutil.copytree(program.folder, place, symlinks=True)
        else:
            place.mkdir(parents=True)
            shutil.copy2(program.executable, place)
        _forbid_writing(place)
        self._executable = place / program.executable.name
        self._cwd, self._home, self._tmp = (agent.root / name for name in ("cwd", "home", "tmp"))
        self.folders: list[Path] = [place, self._cwd, self._home, self._tmp]
        for folder in self.folders[1:]:
            folder.mkdir()

    def run(
        self, *, source: Path | None = None, homeless: bool = True
    ) -> tuple[Run, frozenset[int]]:
        """Run the program; return the run, and the PIDs of children that were the same program.

        *source* is run in its place. Without a home, HOME and, but on Windows, TMPDIR are not set.
        """
        home, tmp = str(self._home), str(self._tmp)
        homes = {"HOME": home, "USERPROFILE": home, "TMPDIR": tmp, "TEMP": tmp, "TMP": tmp}
        started = self.start(source=source, env=None if homeless else homes)
        children = _watch(started)
        return started.wait(), children

    def start(
        self,
        *,
        source: Path | None = None,
        registration_delay: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> StartedRun:
        """Start the program, or its source in its place."""
        python, needed = python_program() if source else ("", {})
        return self.agent.start(
            self._executable,
            job=self._document(source, python),
            cwd=self._cwd,
            registration_delay=registration_delay,
            timeout=_RUN_SECONDS,
            env={**needed, **(env or {})},
        )

    def _document(self, source: Path | None, python: str) -> dict[str, Any]:
        """Return the job; every argument is the value of a parameter, so none is quoted wrong."""
        task = self._program.task(self._arguments)
        job_id = str((self._program.job or {}).get("id") or task.get("job_id") or "verify")
        words = [*([str(source.resolve())] if source else []), *self._arguments]
        several = len((self._program.manifest or {}).get("tasks", ())) > 1
        if several and not any(word.startswith("--task") for word in self._arguments):
            words.append(f"--task={task['name']}")
        if task.get("spread"):
            words.append(AT_ONCE)  # nobody waits for the machine's turn
        values = {f"Word{number}": word for number, word in enumerate(words)}
        line = ['"{%s}"' % token for token in values]  # noqa: UP031 - braces that stay
        line.insert(1 if source else 0, API_BASE_ARGUMENT)
        step = {"id": job_id, "command": self._program.command, "arguments": " ".join(line)}
        if python:
            step["executablePath"] = python
        return {
            "id": job_id,
            "name": job_id,
            "mqttTopics": {
                "allowedPublications": self._program.topics(task),
                "allowedSubscriptions": list(task.get("subscribes", ())),
            },
            "parameters": [
                {"name": token, "type": "string", "default": word} for token, word in values.items()
            ],
            "tasks": [step],
        }


@contextmanager
def open_sandbox(
    program: Installed,
    arguments: Sequence[str],
    settings: Mapping[str, Mapping[str, Any]],
    *,
    paths: Iterable[str] = (),
) -> Iterator[Sandbox]:
    """Start an agent with the program in its layout; all of it is removed at the end.

    The options *paths* get the path of an empty folder.
    """
    plugin = program.task(list(arguments)).get("plugin")
    known = {**({plugin: {}} if plugin else {}), **settings}
    root = Path(tempfile.mkdtemp(prefix="epm-verify-"))
    try:
        with Agent(root, settings=known, environ=system_environment(root / "tmp")) as agent:
            (root / "empty").mkdir()
            empty = [f"{option}={root / 'empty'}" for option in paths]
            yield Sandbox(agent, program, [*arguments, *empty])
    finally:
        _allow_writing(root)
        shutil.rmtree(root, ignore_errors=True)


def why_unattested(address: tuple[str, int]) -> str:
    """Return why a task cannot learn here who listens at *address*; empty when it can."""
    try:
        check_listener(*address)
    except Unattested as error:
        return error.why
    return ""


def _watch(started: StartedRun) -> frozenset[int]:
    """Return the children that run the same program, looked for while it runs."""
    found: set[int] = set()
    while started.running:
        try:
            pid = started.pid
        except NoProcess:  # it could not be started; the run says why
            break
        for child in descendants({pid}):
            # It has ended in the meantime, or the system does not say what it runs.
            with suppress(psutil.Error, OSError):
                if program_of(child) == program_of(pid):
                    found.add(child)
        time.sleep(_PAUSE_SECONDS)
    return frozenset(found)


def system_environment(
    tmp: Path, environ: Mapping[str, str] = os.environ, *, platform: str = sys.platform
) -> dict[str, str]:
    """Return the smallest environment of a service.

    It is empty, but on Windows: there it has what the system needs, and *tmp* for temporary files.
    """
    if platform != "win32":
        return {}
    kept = {name: environ[name] for name in _SYSTEM if name in environ}
    return {**kept, "TEMP": str(tmp), "TMP": str(tmp)}


def _forbid_writing(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)


def _allow_writing(root: Path) -> None:
    # Windows removes no file that nobody may write.
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IWUSR)


Snapshot = dict[str, tuple[int, int]]


def snapshot(folders: Iterable[Path]) -> Snapshot:
    """Return size and time of change of all that is below the folders, themselves included.

    A file that was there for a moment shows too: it changed the time of its folder.
    """
    seen: Snapshot = {}
    for folder in folders:
        for above, _, files in os.walk(folder):
            for path in (above, *(os.path.join(above, name) for name in files)):  # noqa: PTH118 - many
                found = os.lstat(path)
                seen[path] = (found.st_size, found.st_mtime_ns)
    return seen


def touched(before: Snapshot, after: Snapshot) -> list[str]:
    """Return the paths that came, went or changed."""
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
