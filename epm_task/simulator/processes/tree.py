"""Find the birth, the parent and the living descendants of a process.

Linux reads `/proc` directly, because psutil's objects cost more than the whole lookup may take;
other systems ask psutil. A process whose parent has ended is not found.

psutil takes 20 ms to import, so here and beside here it is imported when it is asked.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import psutil

#: Fields of `/proc/<pid>/stat` after the command name (proc(5): ppid is 4, starttime is 22).
_PPID: Final = 1
_START: Final = 19

_PROC: Final = Path("/proc")

#: Deeper chains of parents do not occur; the bound ends a walk that raced with a reused PID.
_DEEPEST: Final = 64


def lives(process: psutil.Process) -> bool:
    """Return whether the process runs; one that has ended may wait for its parent to look."""
    import psutil  # noqa: PLC0415  # see above

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def birth(pid: int) -> float | None:
    """Return a number that only this process has among all that ever had this PID, or None.

    On Linux it is counted from the boot, so that a step of the wall clock does not change it.
    """
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415  # see above

        try:
            return float(psutil.Process(pid).create_time())
        except psutil.Error:
            return None
    fields = _stat(pid)
    return float(fields[_START]) if fields else None


def parent(pid: int) -> int | None:
    """Return the parent's PID, or None when the process is gone."""
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415  # see above

        try:
            return int(psutil.Process(pid).ppid())
        except psutil.Error:
            return None
    fields = _stat(pid)
    return int(fields[_PPID]) if fields else None


def ancestor_among(pid: int, roots: Collection[int]) -> int | None:
    """Return the nearest ancestor of *pid* that is one of *roots*, or None."""
    step: int | None = pid
    for _ in range(_DEEPEST):
        step = parent(step) if step else None
        if step is None or step in roots:
            return step
    return None


def descendants(roots: Collection[int], *, newer_only: bool = False) -> frozenset[int]:
    """Return the PIDs of all living descendants of *roots*, without the roots.

    *newer_only* looks on Linux only at PIDs above the lowest root. There a child's PID is nearly
    always above its parent's, so this finds the same, far cheaper, until the PIDs wrap around.
    """
    if not roots:
        return frozenset()
    if sys.platform != "linux":
        return _below(roots).difference(roots)
    lowest = min(roots) if newer_only else 0
    children: dict[int, list[int]] = {}
    for pid in pids():
        if pid > lowest and (above := parent(pid)) is not None:
            children.setdefault(above, []).append(pid)
    found: set[int] = set()
    pending = list(roots)
    while pending:
        for child in children.get(pending.pop(), ()):
            if child not in found:
                found.add(child)
                pending.append(child)
    return frozenset(found.difference(roots))


def _below(roots: Iterable[int]) -> frozenset[int]:
    """Ask psutil, which reads the parents of all processes once for each root."""
    import psutil  # noqa: PLC0415  # see above

    found: set[int] = set()
    for root in roots:
        with suppress(psutil.Error):  # it has ended
            found |= {child.pid for child in psutil.Process(root).children(recursive=True)}
    return frozenset(found)


def program_of(pid: int) -> str:
    """Return the path of a process's program.

    Raises:
        OSError, psutil.Error: The process is gone, or may not be seen.
    """
    if sys.platform == "win32":
        from epm_task.simulator.processes import windows  # noqa: PLC0415  # its system's

        return windows.program_of(pid)
    import psutil  # noqa: PLC0415  # see above

    return str(psutil.Process(pid).exe())


def program_digest(pid: int) -> tuple[str, str]:
    """Return the path of a process's program, and the SHA-256 of the file, in hexadecimal.

    Raises:
        OSError, psutil.Error: The process is gone, or the file cannot be read.
    """
    path = program_of(pid)
    # On Linux the file that runs, even when another one has taken its place meanwhile.
    file = _PROC / str(pid) / "exe" if sys.platform == "linux" else Path(path)
    with file.open("rb") as program:
        return path, hashlib.file_digest(program, "sha256").hexdigest()


def pids() -> Iterable[int]:
    """Return the PIDs of all processes."""
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415  # see above

        return list(psutil.pids())
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 - names only, 3x faster


def _stat(pid: int) -> list[bytes] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The command name is in parentheses and may hold both spaces and parentheses.
    return text.rpartition(b")")[2].split()
