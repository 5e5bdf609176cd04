"""What other users may do with a file or folder, set as each system has it.

POSIX has a mode. Windows has a list of entries, in which "Everyone" is everybody.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Literal

from epm_task.trust import fault_of

if TYPE_CHECKING:
    from pathlib import Path

#: What a refusal says, as a pattern: what others may do, and the command that mends it.
OTHERS_READ: Final = r"can read it; (chmod 0600|icacls) "
OTHERS_WRITE: Final = r"can write it\b.*; (chmod go-w|icacls) "


def is_private(path: Path) -> bool:
    """Return whether nobody else may read *path*, and write still less."""
    return fault_of(path.stat(), path, secret=True) is None


if sys.platform == "win32":
    import ctypes

    from epm_task import windows_security

    def set_rights(path: Path, *entries: str) -> None:
        """Let the system and this user do everything, and others what the SDDL *entries* say."""
        advapi32 = ctypes.WinDLL("advapi32")
        flags = "OICI" if path.is_dir() else ""
        users = ("SY", "BA", windows_security.this_user())
        own = "".join(f"(A;{flags};FA;;;{sid})" for sid in users)
        descriptor = ctypes.c_void_p()
        assert advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW(
            f"D:P{own}{''.join(entries)}", 1, ctypes.byref(descriptor), None
        )
        dacl_information = 4
        assert advapi32.SetFileSecurityW(str(path), dacl_information, descriptor)
        ctypes.WinDLL("kernel32").LocalFree(descriptor)

    def let_others(path: Path, may: Literal["read", "write"]) -> None:
        """Let every user read *path*, or write it too."""
        flags = "OICI" if path.is_dir() else ""
        rights = {"read": "FRFX" if path.is_dir() else "FR", "write": "FA"}[may]
        set_rights(path, f"(A;{flags};{rights};;;WD)")

else:

    def let_others(path: Path, may: Literal["read", "write"]) -> None:
        """Let every user read *path*, or write it too."""
        own = path.stat().st_mode & 0o7700
        path.chmod(own | {"read": 0o044, "write": 0o066}[may] | (0o011 if own & 0o100 else 0))
