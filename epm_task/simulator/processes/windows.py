"""End a task with its children, on Windows: by a job object, which no child of it leaves.

A task is started suspended and assigned to the object before it runs. The system ends all processes
of an object whose last handle is closed, and so all of a task when the agent is killed. Only an
agent that is killed between the start and the assignment leaves a process, which has not yet run.
"""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import sys
import threading
from ctypes import wintypes
from typing import TYPE_CHECKING, Any, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable

assert sys.platform == "win32"  # noqa: S101  # mypy reads it

#: What the tasks that the agent kills end with: 128 + SIGKILL, as a shell of another system says.
KILLED: Final = 137

# winbase.h, winnt.h and wincon.h have these numbers and structures.
_CREATE_SUSPENDED: Final = 0x4
_PROCESS_TERMINATE: Final = 0x1
_PROCESS_SET_QUOTA: Final = 0x100
_PROCESS_QUERY_LIMITED_INFORMATION: Final = 0x1000
_BASIC_PROCESS_ID_LIST: Final = 3
_EXTENDED_LIMIT_INFORMATION: Final = 9
_KILL_ON_JOB_CLOSE: Final = 0x2000
_CTRL_BREAK_EVENT: Final = 1
_ERROR_MORE_DATA: Final = 234
_LONGEST_PATH: Final = 32_768
#: The system's own program, one for each console; it ends with the last process that uses it.
_CONSOLE_HOST: Final = "conhost.exe"


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("process_time", wintypes.LARGE_INTEGER),
        ("job_time", wintypes.LARGE_INTEGER),
        ("flags", wintypes.DWORD),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("most_processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority_class", wintypes.DWORD),
        ("scheduling_class", wintypes.DWORD),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("basic", _BasicLimits),
        ("io", ctypes.c_ulonglong * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_kernel32, name)
    function.restype, function.argtypes = result, arguments
    return function


_create_job = _function("CreateJobObjectW", wintypes.HANDLE, wintypes.LPVOID, wintypes.LPCWSTR)
_limit_job = _function(
    "SetInformationJobObject",
    wintypes.BOOL,
    wintypes.HANDLE,
    ctypes.c_int,
    wintypes.LPVOID,
    wintypes.DWORD,
)
_ask_job = _function(
    "QueryInformationJobObject",
    wintypes.BOOL,
    wintypes.HANDLE,
    ctypes.c_int,
    wintypes.LPVOID,
    wintypes.DWORD,
    wintypes.LPDWORD,
)
_assign = _function("AssignProcessToJobObject", wintypes.BOOL, wintypes.HANDLE, wintypes.HANDLE)
_terminate_job = _function("TerminateJobObject", wintypes.BOOL, wintypes.HANDLE, wintypes.UINT)
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
_console_code_page = _function("GetConsoleCP", wintypes.UINT)


def start_options() -> dict[str, Any]:
    """Return how a task is started: suspended, and in a process group, which CTRL_BREAK needs.

    It shares the agent's console, through which it is asked to stop. Where the agent has none, the
    system would open a window for each task.
    """
    flags = subprocess.CREATE_NEW_PROCESS_GROUP | _CREATE_SUSPENDED
    return {"creationflags": flags | (0 if _console_code_page() else subprocess.CREATE_NO_WINDOW)}


class Group:
    """The job object of the process *pid*, which `start_options` has left suspended.

    Raises:
        OSError: The process cannot be assigned to it, and has not run.
    """

    def __init__(self, pid: int, name: str, value: str) -> None:  # noqa: ARG002  # not needed here
        self._pid = pid
        #: Held while the handle is used: `members` is asked in another thread.
        self._lock = threading.Lock()
        self._job: int | None = _checked(_create_job(None, None))
        try:
            limits = _ExtendedLimits()
            limits.basic.flags = _KILL_ON_JOB_CLOSE
            size = ctypes.sizeof(limits)
            _checked(_limit_job(self._job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), size))
            process = _checked(_open_process(_PROCESS_TERMINATE | _PROCESS_SET_QUOTA, False, pid))
            try:
                _checked(_assign(self._job, process))
            finally:
                _close_handle(process)
            with contextlib.suppress(psutil.Error):  # somebody has killed it
                psutil.Process(pid).resume()
        except BaseException:
            self.close()
            raise

    def ask_to_stop(self, others: Iterable[psutil.Process] = (), *, alive: bool) -> None:  # noqa: ARG002  # the console knows the group
        """Send CTRL_BREAK to the group; kill all where the agent shares no console with it."""
        if not _send_event(_CTRL_BREAK_EVENT, self._pid):
            self.kill(alive=True)

    #: The system delivers Ctrl-C to no process group of its own.
    interrupt = ask_to_stop

    def kill(self, others: Iterable[psutil.Process] = (), *, alive: bool) -> None:  # noqa: ARG002  # they are in the job
        """End all processes of the job with `KILLED`."""
        with self._lock:
            if self._job is not None:
                _terminate_job(self._job, KILLED)

    def members(self, *, alive: bool) -> list[psutil.Process]:  # noqa: ARG002  # all are in the job
        """Return the living processes of the job, without the hosts of their consoles."""
        with self._lock:
            found = [] if self._job is None else _pids(self._job)
        processes = []
        for pid in found:
            with contextlib.suppress(psutil.Error):  # it has just ended
                processes.append(psutil.Process(pid))
        return [process for process in processes if not _is_console_host(process.pid)]

    def close(self) -> None:
        """Close the handle, with which all ends that still runs."""
        with self._lock:
            job, self._job = self._job, None
        if job is not None:
            _close_handle(job)


def _is_console_host(pid: int) -> bool:
    with contextlib.suppress(OSError):  # it has ended
        return program_of(pid).rpartition("\\")[2].casefold() == _CONSOLE_HOST
    return False


def program_of(pid: int) -> str:
    """Return the path of a process's program.

    Raises:
        OSError: It has ended, or may not be asked.
    """
    process = _checked(_open_process(_PROCESS_QUERY_LIMITED_INFORMATION, False, pid))
    try:
        size = wintypes.DWORD(_LONGEST_PATH)
        path = ctypes.create_unicode_buffer(size.value)
        _checked(_image_name(process, 0, path, ctypes.byref(size)))
        return path.value
    finally:
        _close_handle(process)


def _pids(job: int) -> list[int]:
    """Return the PIDs of the processes of *job*."""
    room = 16
    while True:

        class List(ctypes.Structure):
            _fields_ = (
                ("assigned", wintypes.DWORD),
                ("listed", wintypes.DWORD),
                ("pids", ctypes.c_size_t * room),
            )

        found = List()
        size = ctypes.sizeof(found)
        if _ask_job(job, _BASIC_PROCESS_ID_LIST, ctypes.byref(found), size, None):
            return list(found.pids[: found.listed])
        if ctypes.get_last_error() != _ERROR_MORE_DATA:
            raise ctypes.WinError(ctypes.get_last_error())
        room = 2 * max(room, found.assigned)


def _checked(result: int) -> int:
    if not result:
        raise ctypes.WinError(ctypes.get_last_error())
    return result
