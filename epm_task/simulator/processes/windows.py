"""End a task with its children, on Windows: by a job object, and a console's event before it."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from ctypes import wintypes
from typing import TYPE_CHECKING, Any, Final

import psutil

if sys.platform == "win32":  # mypy reads it
    from epm_task.process_group.windows import KILLED, ProcessGroup, checked, start_options

if TYPE_CHECKING:
    from collections.abc import Iterable

assert sys.platform == "win32"  # noqa: S101  # mypy reads it

__all__ = ["KILLED", "Group", "start_options"]

# wincon.h and winnt.h have these numbers.
_CTRL_BREAK_EVENT: Final = 1
_PROCESS_QUERY_LIMITED_INFORMATION: Final = 0x1000
#: In UTF-16 units, the most that the system has.
_LONGEST_PATH: Final = 32_768
#: The system's own program, one for each console; it ends with the last process that uses it.
_CONSOLE_HOST: Final = "conhost.exe"

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_kernel32, name)
    function.restype, function.argtypes = result, arguments
    return function


_open_process = _function(
    "OpenProcess", wintypes.HANDLE, wintypes.DWORD, wintypes.BOOL, wintypes.DWORD
)
_close_handle = _function("CloseHandle", wintypes.BOOL, wintypes.HANDLE)
_image_name = _function(
    "QueryFullProcessImageNameW",
    wintypes.BOOL,
    wintypes.HANDLE,
    wintypes.DWORD,
    wintypes.LPWSTR,
    wintypes.LPDWORD,
)
_send_event = _function("GenerateConsoleCtrlEvent", wintypes.BOOL, wintypes.DWORD, wintypes.DWORD)


class Group:
    """The job object of the process *pid*, which `start_options` has left suspended.

    Raises:
        OSError: The process cannot be assigned to it, and has not run.
    """

    def __init__(self, pid: int, name: str, value: str) -> None:  # noqa: ARG002  # not needed here
        self._pid = pid
        self._job = ProcessGroup(pid)

    def ask_to_stop(self, others: Iterable[psutil.Process] = (), *, alive: bool) -> None:  # noqa: ARG002  # the console knows the group
        """Send CTRL_BREAK to the group; kill all where the agent shares no console with it."""
        if not _send_event(_CTRL_BREAK_EVENT, self._pid):
            self._job.kill()

    #: The system delivers Ctrl-C to no process group of its own.
    interrupt = ask_to_stop

    def kill(self, others: Iterable[psutil.Process] = (), *, alive: bool) -> None:  # noqa: ARG002  # they are in the job
        """End all processes of the job with `KILLED`."""
        self._job.kill()

    def members(self, *, alive: bool) -> list[psutil.Process]:  # noqa: ARG002  # all are in the job
        """Return the living processes of the job, without the hosts of their consoles."""
        processes = []
        for pid in self._job.pids():
            with contextlib.suppress(psutil.Error):  # it has just ended
                processes.append(psutil.Process(pid))
        return [process for process in processes if not _is_console_host(process.pid)]

    def close(self) -> None:
        """Close the handle, with which all ends that still runs."""
        self._job.close()


def _is_console_host(pid: int) -> bool:
    with contextlib.suppress(OSError):  # it has ended
        return program_of(pid).rpartition("\\")[2].casefold() == _CONSOLE_HOST
    return False


def program_of(pid: int) -> str:
    """Return the path of a process's program.

    Raises:
        OSError: It has ended, or may not be asked.
    """
    process = checked(_open_process(_PROCESS_QUERY_LIMITED_INFORMATION, False, pid))
    try:
        size = wintypes.DWORD(_LONGEST_PATH)
        path = ctypes.create_unicode_buffer(size.value)
        checked(_image_name(process, 0, path, ctypes.byref(size)))
        return path.value
    finally:
        _close_handle(process)
