"""Create the folders of an agent's root, and keep a second agent off it."""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Self

from epm_task.files import try_lock
from epm_task.simulator.start_error import RootHeld, RootUnusable

if TYPE_CHECKING:
    from types import TracebackType

    from epm_task.contract.layout import AgentRoot


def create_root(root: AgentRoot) -> None:
    """Create the folders that are missing.

    Raises:
        RootUnusable: A folder cannot be created, or the root cannot be written.
    """
    try:
        for folder in (root.jobs_bin, root.plugins, root.logs):
            folder.mkdir(parents=True, exist_ok=True)
        root.certificates.mkdir(mode=0o700, exist_ok=True)
        root.lock_file.touch(mode=0o600)
    except OSError as error:
        raise RootUnusable(root.path, error.strerror or str(error)) from error


class RootLock:
    """Hold a root for this process until `close`, or until the process ends.

    Raises:
        RootHeld: Another agent has it.
        RootUnusable: The lock file cannot be opened.
    """

    def __init__(self, root: AgentRoot) -> None:
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
