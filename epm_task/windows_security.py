"""Ask Windows, by handle, for what Python does not: rights of files, accounts, files of our own.

Loaded on Windows only (learn.microsoft.com: fileapi.h, aclapi.h, sddl.h, winbase.h).
"""

from __future__ import annotations

import ctypes
import msvcrt
import os
import sys
from contextlib import contextmanager, nullcontext
from ctypes import wintypes
from functools import cache
from typing import TYPE_CHECKING, Final

assert sys.platform == "win32"  # noqa: S101  # so type checkers know, too

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYSTEM: Final = "S-1-5-18"
ADMINISTRATORS: Final = "S-1-5-32-544"
#: FILE_GENERIC_READ and FILE_GENERIC_EXECUTE.
_READ_AND_RUN: Final = "0x1200a9"
_USERS: Final = "S-1-5-32-545"
READ_CONTROL: Final = 0x2_0000
READ_ATTRIBUTES: Final = 0x80
LIST_FOLDER: Final = 0x1
GENERIC_READ: Final = 0x8000_0000
GENERIC_WRITE: Final = 0x4000_0000
#: Others may read and write meanwhile.
SHARE_READ_WRITE: Final = 0x1 | 0x2
#: And delete, or give another name.
SHARE_ALL: Final = SHARE_READ_WRITE | 0x4
CREATE_NEW: Final = 1
OPEN_EXISTING: Final = 3
OPEN_ALWAYS: Final = 4
_FLAG_FOLDERS_TOO: Final = 0x0200_0000  # FILE_FLAG_BACKUP_SEMANTICS
_FLAG_NO_LINKS: Final = 0x0020_0000  # FILE_FLAG_OPEN_REPARSE_POINT
_INVALID: Final = ctypes.c_void_p(-1).value
_SE_FILE_OBJECT: Final = 1
_OWNER_AND_DACL: Final = 0x1 | 0x4
_SDDL_REVISION: Final = 1
_TOKEN_QUERY: Final = 0x8
_TOKEN_USER: Final = 1
#: Of TOKEN_USER with its SID, which has at most 68 bytes.
_MAX_TOKEN_USER: Final = 256
#: UNLEN and DNLEN of lmcons.h are smaller.
_MAX_NAME: Final = 512

_pointer = ctypes.c_void_p
_text = wintypes.LPCWSTR
_number = wintypes.DWORD
_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
_shell32 = ctypes.WinDLL("shell32", use_last_error=True)
_kernel32.CreateFileW.argtypes = [_text, _number, _number, _pointer, _number, _number, _pointer]
_kernel32.CreateFileW.restype = _pointer
_kernel32.CreateDirectoryW.argtypes = [_text, _pointer]
_kernel32.CloseHandle.argtypes = [_pointer]
_kernel32.LocalFree.argtypes = [_pointer]
_kernel32.LocalFree.restype = _pointer
_kernel32.GetCurrentProcess.restype = _pointer
_advapi32.GetSecurityInfo.argtypes = [_pointer, ctypes.c_int, _number, *[_pointer] * 5]
_advapi32.GetSecurityInfo.restype = _number
_advapi32.GetSecurityDescriptorLength.argtypes = [_pointer]
_advapi32.GetSecurityDescriptorLength.restype = _number
_advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW.argtypes = [
    *(_text, _number, _pointer, _pointer)
]
_advapi32.ConvertStringSidToSidW.argtypes = [_text, _pointer]
_advapi32.ConvertSidToStringSidW.argtypes = [_pointer, _pointer]
_advapi32.LookupAccountSidW.argtypes = [_text, *[_pointer] * 6]
_advapi32.OpenProcessToken.argtypes = [_pointer, _number, _pointer]
_advapi32.GetTokenInformation.argtypes = [_pointer, ctypes.c_int, _pointer, _number, _pointer]


class _Attributes(ctypes.Structure):
    """SECURITY_ATTRIBUTES."""

    _fields_ = (("length", _number), ("descriptor", _pointer), ("inherited", wintypes.BOOL))


def _refused(path: Path | None = None) -> OSError:
    code = ctypes.get_last_error()
    return OSError(0, ctypes.FormatError(code), None if path is None else str(path), code)


def open_file(  # noqa: PLR0913  # as CreateFileW
    path: Path,
    access: int,
    *,
    share: int = SHARE_ALL,
    how: int = OPEN_EXISTING,
    follow: bool = False,
    private: bool = False,
) -> int:
    """Return a descriptor of a file or a folder; of a link itself, unless it is to be followed.

    A new file gets the rights of its folder, unless it is to be *private*.

    Raises:
        OSError: It cannot be opened; it names *path*.
    """
    flags = _FLAG_FOLDERS_TOO | (0 if follow else _FLAG_NO_LINKS)
    with _rights(folder=False, private=True) if private else nullcontext() as attributes:
        handle = _kernel32.CreateFileW(str(path), access, share, attributes, how, flags, None)
        if handle == _INVALID:
            raise _refused(path)
    writes = access & GENERIC_WRITE
    return msvcrt.open_osfhandle(handle, os.O_NOINHERIT | (os.O_RDWR if writes else os.O_RDONLY))


def create_file(path: Path, *, private: bool) -> int:
    """Return the descriptor of a new file, for writing; see `open_file`.

    Raises:
        OSError: It is there already, or cannot be made.
    """
    return open_file(path, GENERIC_WRITE, how=CREATE_NEW, private=private)


def make_folder(path: Path, *, private: bool) -> None:
    """Make a folder that only the system, administrators and this user can write.

    Others can read it, and what will be made in it, unless it is *private*. What the folder above
    would give it does not count.

    Raises:
        OSError: It is there already, or cannot be made.
    """
    with _rights(folder=True, private=private) as attributes:
        if not _kernel32.CreateDirectoryW(str(path), attributes):
            raise _refused(path)


@contextmanager
def _rights(*, folder: bool, private: bool) -> Iterator[object]:
    """Yield a pointer to SECURITY_ATTRIBUTES."""
    heirs = "OICI" if folder else ""
    own = dict.fromkeys([SYSTEM, ADMINISTRATORS, this_user()])
    entries = [f"(A;{heirs};FA;;;{sid})" for sid in own]
    entries += (
        [] if private else [f"(A;{heirs};0x1200a9;;;{_USERS})"]
    )  # FILE_GENERIC_READ, _EXECUTE
    descriptor = _pointer()
    if not _advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW(
        f"D:P{''.join(entries)}", _SDDL_REVISION, ctypes.byref(descriptor), None
    ):
        raise _refused()
    try:
        yield ctypes.byref(_Attributes(ctypes.sizeof(_Attributes), descriptor, 0))
    finally:
        _kernel32.LocalFree(descriptor)


def descriptor_of(opened: int) -> bytes:
    """Return owner and entries of an open file or folder, as a self-relative security descriptor.

    Raises:
        OSError: The system does not tell.
    """
    found = _pointer()
    handle = msvcrt.get_osfhandle(opened)
    code = _advapi32.GetSecurityInfo(
        handle, _SE_FILE_OBJECT, _OWNER_AND_DACL, None, None, None, None, ctypes.byref(found)
    )
    if code:
        raise ctypes.WinError(code)
    try:
        return ctypes.string_at(found, _advapi32.GetSecurityDescriptorLength(found))
    finally:
        _kernel32.LocalFree(found)


def account_name(sid: str) -> str:
    r"""Return what people call an account, `BUILTIN\Users`; the SID when nobody knows it."""
    binary = _pointer()
    if not _advapi32.ConvertStringSidToSidW(sid, ctypes.byref(binary)):
        return sid
    name, domain = (ctypes.create_unicode_buffer(_MAX_NAME) for _ in range(2))
    sizes = [_number(_MAX_NAME), _number(_MAX_NAME), _number()]
    try:
        if not _advapi32.LookupAccountSidW(
            None,
            binary,
            *(name, ctypes.byref(sizes[0]), domain, ctypes.byref(sizes[1])),
            ctypes.byref(sizes[2]),
        ):
            return sid
    finally:
        _kernel32.LocalFree(binary)
    return f"{domain.value}\\{name.value}" if domain.value else name.value


@cache
def this_user() -> str:
    """Return the SID of the account that this process runs as.

    Raises:
        OSError: The system does not tell.
    """
    return user_of(_kernel32.GetCurrentProcess())


def user_of(process: int) -> str:
    """Return the SID of the account that a process runs as, by its handle.

    Raises:
        OSError: The system does not tell.
    """
    token, size, text = _pointer(), _number(), wintypes.LPWSTR()
    if not _advapi32.OpenProcessToken(process, _TOKEN_QUERY, ctypes.byref(token)):
        raise _refused()
    try:
        user = ctypes.create_string_buffer(_MAX_TOKEN_USER)
        if not _advapi32.GetTokenInformation(
            token, _TOKEN_USER, user, len(user), ctypes.byref(size)
        ):
            raise _refused()
    finally:
        _kernel32.CloseHandle(token)
    sid = _pointer.from_buffer(user)
    if not _advapi32.ConvertSidToStringSidW(sid, ctypes.byref(text)):
        raise _refused()
    try:
        return str(text.value)
    finally:
        _kernel32.LocalFree(text)


def is_administrator() -> bool:
    """Return whether this process has the rights of an administrator, or of the system."""
    return bool(_shell32.IsUserAnAdmin())
