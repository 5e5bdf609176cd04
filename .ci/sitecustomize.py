"""Complete what Wine 8 leaves out: who holds a TCP socket, since when, and what a process runs.

Python loads this by its name, in each process that `.ci/windows` starts. Without it no task trusts
a listener that Windows would name, and nothing that needs one can be tested.
"""

# ruff: noqa: INP001  # no package

from __future__ import annotations

import sys
from _frozen_importlib_external import PathFinder  # importlib would import others

TYPE_CHECKING = False  # typing would be imported before what a task has in its place
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _own_listeners(socket: Any) -> None:
    """Let a socket be read from when it listens: Wine knows then whose it is."""
    listen = socket.socket.listen

    def listen_and_read(self: Any, *backlog: int) -> None:
        """Listen."""
        from contextlib import suppress  # noqa: PLC0415  # as above

        listen(self, *backlog)
        seconds = self.gettimeout()
        self.settimeout(0)
        with suppress(OSError):  # nothing can be read from it
            self.recv(1)
        self.settimeout(seconds)

    socket.socket.listen = listen_and_read


#: By address family: first row, size of a row; in it own port, state, pid, time of creation.
_ROWS = {2: (8, 160, 8, 0, 20, 24), 23: (8, 192, 20, 48, 52, 56)}
_LISTENING = 2
_TABLE_OF_LISTENERS = 6
_MOST_BYTES = 1 << 20
#: Later than any process was started, in units of 100 ns.
_LATER = 1 << 62
#: Who listens, by port.
_holders: dict[bytes, int] = {}

_LIMITED_INFORMATION = 0x1000
_INVALID_PARAMETER = 87


def _remember(table: Any, family: int) -> range:
    """Remember who listens, and return where the rows are."""
    import struct  # noqa: PLC0415  # as above

    first, size, port, state, pid, _created = _ROWS[family]
    rows = range(first, first + size * struct.unpack_from("<I", table)[0], size)
    for row in rows:
        if struct.unpack_from("<I", table, row + state)[0] == _LISTENING:
            at = bytes(table[row + port : row + port + 2])
            (_holders[at],) = struct.unpack_from("<I", table, row + pid)
    return rows


def _complete(table: Any, family: int, look: Callable[[], None]) -> None:
    """Give each row a time, and an accepted socket the holder of the one that listens."""
    import struct  # noqa: PLC0415  # as above

    _first, _size, port, _state, pid, created = _ROWS[family]
    looked = False
    for row in _remember(table, family):
        at = bytes(table[row + port : row + port + 2])
        (holder,) = struct.unpack_from("<I", table, row + pid)
        if not (holder or _holders.get(at) or looked):
            looked = True
            look()
        struct.pack_into("<I", table, row + pid, holder or _holders.get(at, 0))
        struct.pack_into("<Q", table, row + created, _LATER)


def _complete_tables(ctypes: Any) -> None:
    """Let the libraries that *ctypes* loads answer with complete tables."""
    load = ctypes.WinDLL

    class WinDLL(load):  # type: ignore[misc,valid-type]
        """A library of Windows."""

        def __init__(self, name: str, *words: Any, **more: Any) -> None:
            super().__init__(name, *words, **more)
            if name == "iphlpapi":
                self._ask: Any = super().__getattr__("GetExtendedTcpTable")
                self.GetExtendedTcpTable = self._table

        def _table(self, table: Any, size: Any, order: int, family: int, *more: int) -> int:
            code: int = self._ask(table, size, order, family, *more)
            if code == 0:
                _complete(table, family, lambda: self._look(family))
            return code

        def _look(self, family: int) -> None:
            table = ctypes.create_string_buffer(_MOST_BYTES)
            size = ctypes.c_ulong(_MOST_BYTES)
            if not self._ask(table, ctypes.byref(size), 0, family, _TABLE_OF_LISTENERS, 0):
                _remember(table, family)

    ctypes.WinDLL = WinDLL


def _name_programs(psutil: Any) -> None:
    """Let psutil ask for the program of a process by a function that Wine has."""
    from ctypes import WinDLL, byref, create_unicode_buffer, get_last_error, wintypes  # noqa: PLC0415  # rare

    size = 32_768
    kernel = WinDLL("kernel32", use_last_error=True)
    kernel.OpenProcess.restype = wintypes.HANDLE

    def proc_exe(pid: int) -> str:
        handle = wintypes.HANDLE(kernel.OpenProcess(_LIMITED_INFORMATION, False, pid))
        if not handle:
            code = get_last_error()
            raise ProcessLookupError(pid) if code == _INVALID_PARAMETER else PermissionError(pid)
        path, length = create_unicode_buffer(size), wintypes.DWORD(size)
        named = kernel.QueryFullProcessImageNameW(handle, 0, path, byref(length))
        kernel.CloseHandle(handle)
        if not named:
            raise ProcessLookupError(pid)
        return path.value

    psutil.cext.proc_exe = proc_exe


#: What is completed when it has been imported: by its name, what tells it from another, and how.
_COMPLETED = {
    "ctypes": ("WinDLL", _complete_tables),
    "psutil._pswindows": ("cext", _name_programs),
    "socket": ("socket", _own_listeners),
}


class _Finder:
    """Finds a module that few processes import, and completes it then."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG004
        """Return the specification of such a module, None for any other."""
        if name not in _COMPLETED:
            return None
        found: Any = PathFinder.find_spec(name, path)
        execute = found.loader.exec_module
        attribute, complete = _COMPLETED[name]

        def execute_and_complete(module: Any) -> None:
            """Execute the module."""
            execute(module)
            if hasattr(module, attribute):
                complete(module)

        found.loader.exec_module = execute_and_complete
        return found


sys.meta_path.insert(0, _Finder)
