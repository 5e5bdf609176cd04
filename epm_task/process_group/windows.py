"""The processes of a task, or of its child, on Windows: a job object, which none of them leaves.

The first one is started suspended and assigned to the object before it runs. The system ends all
processes of an object whose last handle is closed, also when it is closed because its holder was
killed. Only who is killed between the start and the assignment leaves a process, which has not yet
run.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from ctypes import wintypes
from typing import Any, Final

assert sys.platform == "win32"  # noqa: S101  # mypy reads it

#: What the processes that are killed end with: 128 + SIGKILL, as a shell of another system says.
KILLED: Final = 137

# winbase.h, winnt.h and wincon.h have these numbers and structures.
_CREATE_SUSPENDED: Final = 0x4
_PROCESS_TERMINATE: Final = 0x1
_PROCESS_SET_QUOTA: Final = 0x100
_PROCESS_SUSPEND_RESUME: Final = 0x800
_BASIC_PROCESS_ID_LIST: Final = 3
_EXTENDED_LIMIT_INFORMATION: Final = 9
_KILL_ON_JOB_CLOSE: Final = 0x2000
_ERROR_MORE_DATA: Final = 234


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


def _function(name: str, result: Any, *arguments: Any, library: Any = _kernel32) -> Any:
    function = getattr(library, name)
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
_console_code_page = _function("GetConsoleCP", wintypes.UINT)
#: Not documented, and what debuggers and psutil use: it resumes all threads of a process.
_resume = _function(
    "NtResumeProcess", ctypes.c_long, wintypes.HANDLE, library=ctypes.WinDLL("ntdll")
)


def start_options() -> dict[str, Any]:
    """Return how `subprocess.Popen` starts the first process: suspended, in a group of its own.

    The group is for CTRL_BREAK. The process shares this one's console; where there is none, the
    system would open a window for it.
    """
    flags = subprocess.CREATE_NEW_PROCESS_GROUP | _CREATE_SUSPENDED
    return {"creationflags": flags | (0 if _console_code_page() else subprocess.CREATE_NO_WINDOW)}


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a child has ended."""
    return process.poll() is not None


class ProcessGroup:
    """The job object of the process *pid*, which `start_options` has left suspended; it runs now.

    Raises:
        OSError: The process cannot be assigned to it, and has not run.
    """

    def __init__(self, pid: int) -> None:
        #: Held while the handle is used: another thread may close it.
        self._lock = threading.Lock()
        self._job: int | None = checked(_create_job(None, None))
        try:
            limits = _ExtendedLimits()
            limits.basic.flags = _KILL_ON_JOB_CLOSE
            size = ctypes.sizeof(limits)
            checked(_limit_job(self._job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), size))
            access = _PROCESS_TERMINATE | _PROCESS_SET_QUOTA | _PROCESS_SUSPEND_RESUME
            process = checked(_open_process(access, False, pid))
            try:
                checked(_assign(self._job, process))
                _resume(process)  # it fails when somebody has killed the process
            finally:
                _close_handle(process)
        except BaseException:
            self.close()
            raise

    def ask_to_stop(self) -> None:
        """Kill them: programs of Windows have nothing that all of them obey."""
        self.kill()

    def kill(self) -> None:
        """End all processes of the job with `KILLED`."""
        with self._lock:
            if self._job is not None:
                _terminate_job(self._job, KILLED)

    def pids(self) -> list[int]:
        """Return the PIDs of the processes of the job."""
        with self._lock:
            return [] if self._job is None else _pids(self._job)

    def close(self) -> None:
        """Close the handle, with which all ends that still runs."""
        with self._lock:
            job, self._job = self._job, None
        if job is not None:
            _close_handle(job)


def _pids(job: int) -> list[int]:
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


def checked(result: int) -> int:
    """Return what a call of the system has returned; raise its OSError when that is 0."""
    if not result:
        raise ctypes.WinError(ctypes.get_last_error())
    return result
