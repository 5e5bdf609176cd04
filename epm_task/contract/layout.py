"""A layout says where the files of an agent are: the folders below its root."""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Final, Self

from epm_task.files import try_lock
from epm_task.simulator.start_error import RootHeld, RootUnusable

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class AgentRoot:
    """The root of one agent, in the vendor's layout.

    Args:
        path: The folder, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        """Make the path absolute, because the tasks run in another folder than the agent."""
        self.path: Final = path.absolute()
        self.appsettings: Final = self.path / "appsettings.json"
        self.jobs: Final = self.path / "Jobs"
        self.jobs_bin: Final = self.jobs / "bin"
        self.plugins: Final = self.path / "Plugins"
        self.logs: Final = self.path / "Log"
        self.keeper_logger: Final = self.logs / "KeeperLogger.log"
        self.runs_log: Final = self.logs / "runs.jsonl"
        self.certificates: Final = self.path / "certs"
        self.store: Final = self.path / "settings-store.json"
        self.lock_file: Final = self.path / "agent.lock"

    def create(self) -> None:
        """Create the folders that are missing.

        Raises:
            RootUnusable: A folder cannot be created, or the root cannot be written.
        """
        try:
            for folder in (self.jobs_bin, self.plugins, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            self.certificates.mkdir(mode=0o700, exist_ok=True)
            self.lock_file.touch(mode=0o600)
        except OSError as error:
            raise RootUnusable(self.path, error.strerror or str(error)) from error

    def lock(self) -> RootLock:
        """Return the lock that keeps a second agent off this root, held by this process.

        Raises:
            RootHeld: Another agent has it.
            RootUnusable: The lock file cannot be opened.
        """
        return RootLock(self)


class RootLock:
    """The hold of one agent on its root; closing it, or the end of the process, lets go."""

    def __init__(self, root: AgentRoot) -> None:
        """Take the lock and write this process's PID into the file."""
        try:
            self._file: IO[str] = root.lock_file.open("r+", encoding="ascii")
        except OSError as error:
            raise RootUnusable(root.path, error.strerror or str(error)) from error
        if not try_lock(self._file.fileno()):
            holder = _pid_in(self._file)
            self._file.close()
            raise RootHeld(root.path, holder)
        self._write(str(os.getpid()))

    def close(self) -> None:
        """Empty the file and let go of it."""
        if not self._file.closed:
            self._write("")
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, text: str) -> None:
        # The root itself may be gone by now: a test, or its user, removed it under a running agent.
        with contextlib.suppress(OSError):
            self._file.seek(0)
            self._file.truncate()
            self._file.write(text)
            self._file.flush()


def _pid_in(file: IO[str]) -> int | None:
    try:
        text = file.read().strip()
    except OSError:  # Windows refuses to read a locked range
        return None
    return int(text) if text.isdigit() else None
