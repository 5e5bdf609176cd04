"""A console event is sent to one process of Windows, as the system itself sends it.

Which events a program can send, and to whom, is narrower: not the end of a console, and Ctrl-C only
to all processes of its own console. Wine sends no CTRL_BREAK at all.
"""

from __future__ import annotations

import ctypes
from ctypes import wintypes
from typing import Any, Final

CTRL_C: Final = 0
CTRL_BREAK: Final = 1
CLOSE: Final = 2
LOGOFF: Final = 5
SHUTDOWN: Final = 6

_ALL_ACCESS: Final = 0x1FFFFF


def send_event(pid: int, event: int, *, seconds: float = 0.0) -> bool:
    """Begin a thread in the process in which its handlers of events are called.

    Return whether they have returned within so many *seconds*.

    Raises:
        OSError: That cannot be done, for example because the process has ended.
    """
    windows: Any = ctypes  # what of it only Windows has
    kernel32 = windows.WinDLL("kernel32", use_last_error=True)
    address, handle = ctypes.c_void_p, wintypes.HANDLE
    functions = {
        "GetModuleHandleW": (wintypes.HMODULE, wintypes.LPCWSTR),
        "GetProcAddress": (address, wintypes.HMODULE, wintypes.LPCSTR),
        "OpenProcess": (handle, wintypes.DWORD, wintypes.BOOL, wintypes.DWORD),
        "CreateRemoteThread": (
            *(handle, handle, address, ctypes.c_size_t),
            *(address, address, wintypes.DWORD, address),
        ),
        "WaitForSingleObject": (wintypes.DWORD, handle, wintypes.DWORD),
        "CloseHandle": (wintypes.BOOL, handle),
    }
    for name, (result, *arguments) in functions.items():
        function = getattr(kernel32, name)
        function.restype, function.argtypes = result, arguments
    routine = kernel32.GetProcAddress(kernel32.GetModuleHandleW("kernel32.dll"), b"CtrlRoutine")
    process = kernel32.OpenProcess(_ALL_ACCESS, False, pid)
    if not process:
        raise windows.WinError(windows.get_last_error())
    thread = kernel32.CreateRemoteThread(process, None, 0, routine, event, 0, None)
    error = windows.get_last_error()
    kernel32.CloseHandle(process)
    if not thread:
        raise windows.WinError(error)
    waited = kernel32.WaitForSingleObject(thread, int(seconds * 1000))
    kernel32.CloseHandle(thread)
    return bool(waited == 0)  # WAIT_OBJECT_0
