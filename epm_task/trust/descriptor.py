"""Judge by a security descriptor of Windows who could write or read a file or a folder.

The owner and each entry that allows something count; what an entry denies is not subtracted, and
what is not understood is refused. The structures are those of [MS-DTYP] 2.4.2 to 2.4.6, the rights
those of winnt.h.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.errors import UnsafeConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePath

SYSTEM: Final = "S-1-5-18"
ADMINISTRATORS: Final = "S-1-5-32-544"
#: What Windows itself installs belongs to this service.
_TRUSTED_INSTALLER: Final = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
#: Whoever the owner is, who is judged too.
_OWNER_RIGHTS: Final = "S-1-3-4"
_OTHERS_TRUSTED: Final = frozenset({SYSTEM, ADMINISTRATORS, _TRUSTED_INSTALLER, _OWNER_RIGHTS})
_EVERYONE: Final = "S-1-1-0"

_READ_DATA: Final = 0x1
#: Of one who can replace or delete a folder, or what is in it: FILE_DELETE_CHILD, DELETE,
#: WRITE_DAC, WRITE_OWNER. Others may make further entries, as they may in C:\ProgramData.
_REPLACE: Final = 0x40 | 0x1_0000 | 0x4_0000 | 0x8_0000
#: And FILE_WRITE_DATA, FILE_APPEND_DATA, FILE_WRITE_EA, FILE_WRITE_ATTRIBUTES; who may write the
#: attributes can make a link of a file, or of an empty folder.
_WRITE: Final = _REPLACE | 0x2 | 0x4 | 0x10 | 0x100
_GENERIC_ALL: Final = 0x1000_0000
#: GENERIC_READ, _WRITE, _EXECUTE and _ALL, and what they mean for a file.
_GENERIC: Final = {
    0x8000_0000: 0x12_0089,
    0x4000_0000: 0x12_0116,
    0x2000_0000: 0x12_00A0,
    _GENERIC_ALL: 0x1F_01FF,
}

_DACL_PRESENT: Final = 0x4
_INHERIT_ONLY: Final = 0x8
#: ACCESS_ALLOWED and its form with a condition, which may hold.
_ALLOWS: Final = frozenset({0, 9})
#: ACCESS_DENIED and its form with a condition.
_DENIES: Final = frozenset({1, 10})

_HEADER: Final = struct.Struct("<BxHIIII")
_LIST: Final = struct.Struct("<BxHHxx")
_ENTRY: Final = struct.Struct("<BBHI")


class Entry(NamedTuple):
    """What is allowed to an account, by its SID; *mask* holds rights of winnt.h."""

    sid: str
    mask: int


class Descriptor(NamedTuple):
    """The owner, by SID, and what is allowed; without a list everybody may do everything."""

    owner: str
    allowed: tuple[Entry, ...]


def parse_sid(data: bytes) -> str:
    """Return the text form, `S-1-5-18`, of a security identifier at the begin of *data*.

    Raises:
        ValueError: It is not whole.
    """
    try:
        count = data[1]
        parts = struct.unpack_from(f"<{count}I", data, 8)
    except (IndexError, struct.error) as error:
        raise ValueError("a security identifier is not whole") from error
    return "-".join(["S", *map(str, (data[0], int.from_bytes(data[2:8], "big"), *parts))])


def parse(data: bytes) -> Descriptor:
    """Return a self-relative security descriptor; what only its heirs get is left out.

    Raises:
        ValueError: It is not understood.
    """
    try:
        _, control, owner, _, _, start = _HEADER.unpack_from(data)
        if not owner:
            raise ValueError("it has no owner")
        if not (control & _DACL_PRESENT and start):
            return Descriptor(parse_sid(data[owner:]), (Entry(_EVERYONE, _specific(_GENERIC_ALL)),))
        allowed = tuple(_entries(data, start))
    except struct.error as error:
        raise ValueError("it is not whole") from error
    return Descriptor(parse_sid(data[owner:]), allowed)


def _entries(data: bytes, start: int) -> list[Entry]:
    _, _, count = _LIST.unpack_from(data, start)
    place = start + _LIST.size
    found = []
    for _ in range(count):
        kind, flags, size, mask = _ENTRY.unpack_from(data, place)
        if kind not in _ALLOWS | _DENIES or place + size > len(data):
            raise ValueError(f"it has an entry of kind {kind}, {size} bytes long")
        if kind in _ALLOWS and not flags & _INHERIT_ONLY:
            sid = parse_sid(data[place + _ENTRY.size : place + size])
            found.append(Entry(sid, _specific(mask)))
        place += size
    return found


def _specific(mask: int) -> int:
    for generic, rights in _GENERIC.items():
        mask |= rights if mask & generic else 0
    return mask


class Judge(NamedTuple):
    """Who asks, by SID, and what finds the name of a SID."""

    user: str
    name: Callable[[str], str]

    def fault_of(
        self,
        found: Descriptor,
        path: PurePath,
        *,
        folder: bool = False,
        secret: bool = False,
        in_passing: bool = False,
    ) -> UnsafeConfiguration | None:
        """Return why somebody else could replace a file or a folder; None when nobody can.

        Args:
            found: Its descriptor.
            path: What it is called in the sentence.
            folder: It is a folder.
            secret: Nobody else may read it either.
            in_passing: It is a folder on the way, of which one entry counts.
        """
        owner = self.name(found.owner)
        if not self.trusts(found.owner):
            fix = f'icacls {_quoted(path)} /setowner "*{self.user}"'
            return UnsafeConfiguration(
                f"{path} belongs to {owner}", "its owner could replace it", fix
            )
        writers = self._who(found, _REPLACE if in_passing else _WRITE)
        readers = self._who(found, _READ_DATA) if secret else []
        if not (writers or readers):
            return None
        names = " and ".join(map(self.name, writers or readers))
        others = dict.fromkeys([*writers, *readers])
        return UnsafeConfiguration(
            f"{path} belongs to {owner}",
            f"{names} can {'write' if writers else 'read'} it",
            self._fix(path, list(others), folder=folder, secret=secret),
        )

    def trusts(self, sid: str) -> bool:
        """Return whether an account is the system's, an administrator's, or this user's."""
        return sid in _OTHERS_TRUSTED or sid == self.user

    def _who(self, found: Descriptor, rights: int) -> list[str]:
        sids = [entry.sid for entry in found.allowed if entry.mask & rights]
        return [sid for sid in dict.fromkeys(sids) if not self.trusts(sid)]

    def _fix(self, path: PurePath, others: list[str], *, folder: bool, secret: bool) -> str:
        """Return the command after which only who is trusted can write.

        Accounts are named by SID: their names are translated.
        """
        heirs = "(OI)(CI)" if folder else ""
        own = dict.fromkeys([SYSTEM, ADMINISTRATORS, self.user])
        grants = [f'"*{sid}:{heirs}F"' for sid in own]
        grants += [] if secret else [f'"*{sid}:{heirs}RX"' for sid in others]
        removed = ["/remove:g", *(f'"*{sid}"' for sid in others)] if secret else []
        words = ["icacls", _quoted(path), "/inheritance:r", "/grant:r", *grants, *removed]
        return " ".join(words)


def _quoted(path: PurePath) -> str:
    text = str(path)
    return f'"{text}\\"' if text.endswith("\\") else f'"{text}"'
