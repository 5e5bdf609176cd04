"""Tests of security descriptors: who could write or read, by the bytes that Windows gives."""

from __future__ import annotations

import struct
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epm_task.trust.descriptor import Descriptor, Entry, Judge, parse, parse_sid

if TYPE_CHECKING:
    from epm_task.errors import UnsafeConfiguration

ME: Final = "S-1-5-21-1-2-3-1000"
SYSTEM: Final = "S-1-5-18"
ADMINISTRATORS: Final = "S-1-5-32-544"
INSTALLER: Final = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
USERS: Final = "S-1-5-32-545"
EVERYONE: Final = "S-1-1-0"
NAMES: Final = {ME: "PC\\me", EVERYONE: "Everyone", USERS: "BUILTIN\\Users"}
JUDGE: Final = Judge(ME, lambda sid: NAMES.get(sid, sid))

FULL: Final = 0x1F01FF
MODIFY: Final = 0x1301BF
READ_AND_RUN: Final = 0x1200A9
#: OBJECT_INHERIT and CONTAINER_INHERIT, and INHERIT_ONLY with them.
HEIRS: Final = 0x3
HEIRS_ONLY: Final = 0xB


def sid_bytes(sid: str) -> bytes:
    """Return the binary form."""
    revision, authority, *parts = map(int, sid.removeprefix("S-").split("-"))
    head = struct.pack("<BB", revision, len(parts)) + authority.to_bytes(6, "big")
    return head + struct.pack(f"<{len(parts)}I", *parts)


def entry_bytes(sid: str, mask: int, kind: int = 0, flags: int = 0) -> bytes:
    """Return an entry of a list."""
    body = struct.pack("<I", mask) + sid_bytes(sid)
    return struct.pack("<BBH", kind, flags, 4 + len(body)) + body


def descriptor_bytes(owner: str, *entries: bytes, listed: bool = True) -> bytes:
    """Return a self-relative security descriptor, without a list when it is not *listed*."""
    holder, body = sid_bytes(owner), b"".join(entries)
    listing = struct.pack("<BBHHH", 2, 0, 8 + len(body), len(entries), 0) + body
    control = 0x8000 | (0x4 if listed else 0)
    place = 20 + len(holder) if listed else 0
    header = struct.pack("<BBHIIII", 1, 0, control, 20, 0, 0, place)
    return header + holder + (listing if listed else b"")


def judged(owner: str, *entries: bytes, **options: Any) -> UnsafeConfiguration | None:
    """Return the fault of a file that has these entries beside those of who is trusted."""
    own = [entry_bytes(sid, FULL) for sid in (SYSTEM, ADMINISTRATORS, INSTALLER, ME)]
    found = parse(descriptor_bytes(owner, *own, *entries))
    return JUDGE.fault_of(found, PureWindowsPath(r"C:\keys\ca.pem"), **options)


def test_a_descriptor_is_read() -> None:
    """Its owner, and what it allows now; what is denied, or for heirs only, is not allowed."""
    data = descriptor_bytes(
        SYSTEM,
        entry_bytes(EVERYONE, MODIFY, kind=1),
        entry_bytes(USERS, MODIFY, flags=HEIRS_ONLY),
        entry_bytes(ME, READ_AND_RUN, flags=HEIRS),
    )
    assert parse(data) == Descriptor(SYSTEM, (Entry(ME, READ_AND_RUN),))


@pytest.mark.parametrize("owner", [ME, SYSTEM, ADMINISTRATORS, INSTALLER])
def test_a_file_of_who_is_trusted(owner: str) -> None:
    """As a secret too."""
    assert judged(owner) is None
    assert judged(owner, secret=True) is None


@pytest.mark.parametrize("owner", [USERS, EVERYONE, "S-1-5-21-1-2-3-1001", "S-1-5-19"])
def test_a_file_of_another_user(owner: str) -> None:
    """He may change its rights at any time, whatever they are now."""
    fault = judged(owner)
    assert fault
    assert fault.what == rf"C:\keys\ca.pem belongs to {NAMES.get(owner, owner)}"
    assert fault.fix == rf'icacls "C:\keys\ca.pem" /setowner "*{ME}"'


#: Each right of winnt.h by which a file, or what is in a folder, can become another one.
WRITES: Final = {
    "FILE_WRITE_DATA": 0x2,
    "FILE_APPEND_DATA": 0x4,
    "FILE_WRITE_EA": 0x10,
    "FILE_DELETE_CHILD": 0x40,
    "FILE_WRITE_ATTRIBUTES": 0x100,
    "DELETE": 0x10000,
    "WRITE_DAC": 0x40000,
    "WRITE_OWNER": 0x80000,
    "GENERIC_WRITE": 0x40000000,
    "GENERIC_ALL": 0x10000000,
}
#: Of these, those by which what is in a folder already can be replaced.
REPLACES: Final = {"FILE_DELETE_CHILD", "DELETE", "WRITE_DAC", "WRITE_OWNER", "GENERIC_ALL"}


@pytest.mark.parametrize("right", WRITES)
def test_each_right_to_write_is_refused(right: str) -> None:
    """On the way down only those that could replace what is there: others may add entries."""
    entry = entry_bytes(USERS, WRITES[right])
    fault = judged(ME, entry)
    assert fault
    assert fault.why == r"BUILTIN\Users can write it"
    assert (judged(ME, entry, in_passing=True) is not None) == (right in REPLACES)


@pytest.mark.parametrize("mask", [READ_AND_RUN, 0x1, 0x80000000, 0x20000000, 0x120080])
def test_who_may_read_may_not_read_a_secret(mask: int) -> None:
    """GENERIC_EXECUTE and attributes alone do not tell what is in it."""
    entry = entry_bytes(EVERYONE, mask)
    assert judged(ME, entry) is None
    fault = judged(ME, entry, secret=True)
    if mask in {0x20000000, 0x120080}:
        assert fault is None
    else:
        assert fault
        assert fault.why == "Everyone can read it"


def test_the_command_that_mends_it() -> None:
    """Accounts are named by SID, as their names are translated; others keep reading."""
    fault = judged(ME, entry_bytes(EVERYONE, FULL), entry_bytes(USERS, READ_AND_RUN))
    assert fault
    assert fault.fix == (
        r'icacls "C:\keys\ca.pem" /inheritance:r /grant:r "*S-1-5-18:F" "*S-1-5-32-544:F" '
        f'"*{ME}:F" "*{EVERYONE}:RX"'
    )
    fault = judged(ME, entry_bytes(USERS, MODIFY), folder=True)
    assert fault
    assert fault.fix.endswith(f'"*{ME}:(OI)(CI)F" "*{USERS}:(OI)(CI)RX"')


def test_the_command_for_a_secret_takes_all_others_away() -> None:
    """Those who can only read it too; the sentence names those who can write it."""
    fault = judged(ME, entry_bytes(USERS, READ_AND_RUN), entry_bytes(EVERYONE, MODIFY), secret=True)
    assert fault
    assert fault.why == "Everyone can write it"
    assert fault.fix == (
        r'icacls "C:\keys\ca.pem" /inheritance:r /grant:r "*S-1-5-18:F" "*S-1-5-32-544:F" '
        f'"*{ME}:F" /remove:g "*{EVERYONE}" "*{USERS}"'
    )


def test_the_root_of_a_drive_can_be_named() -> None:
    r"""A `\` before the quotation mark would be that of the mark."""
    found = parse(descriptor_bytes(USERS))
    fault = JUDGE.fault_of(found, PureWindowsPath("C:\\"))
    assert fault
    assert r'icacls "C:\\" /setowner' in fault.fix


def test_the_rights_of_a_fresh_windows() -> None:
    r"""`C:\` and `C:\ProgramData`: others may make something there, and replace nothing."""
    root = [
        entry_bytes(USERS, READ_AND_RUN, flags=HEIRS),
        entry_bytes(USERS, 0x4, flags=0x2),
        entry_bytes("S-1-5-11", 0x4),
        entry_bytes("S-1-5-11", MODIFY, flags=HEIRS_ONLY),
    ]
    program_data = [
        entry_bytes("S-1-3-0", 0x10000000, flags=HEIRS_ONLY),
        entry_bytes(USERS, READ_AND_RUN, flags=HEIRS),
        entry_bytes(USERS, 0x116, flags=0x2),
    ]
    for owner, entries in ((INSTALLER, root), (SYSTEM, program_data)):
        assert judged(owner, *entries, folder=True, in_passing=True) is None
        assert judged(owner, *entries, folder=True) is not None


def test_without_a_list_everybody_may_do_everything() -> None:
    """With an empty one nobody may."""
    nothing = parse(descriptor_bytes(ME, listed=False))
    fault = JUDGE.fault_of(nothing, PureWindowsPath("C:\\x"), in_passing=True)
    assert fault
    assert fault.why == "Everyone can write it"
    assert parse(descriptor_bytes(ME)).allowed == ()


def test_a_condition_may_hold() -> None:
    """An entry with one allows like any other; one that denies still allows nothing."""
    assert judged(ME, entry_bytes(USERS, MODIFY, kind=9)) is not None
    assert judged(ME, entry_bytes(USERS, MODIFY, kind=10)) is None


@pytest.mark.parametrize("kind", [2, 4, 5, 11, 17, 255])
def test_an_entry_of_an_unknown_kind(kind: int) -> None:
    """It might allow something."""
    with pytest.raises(ValueError, match=f"an entry of kind {kind}"):
        parse(descriptor_bytes(ME, entry_bytes(ME, 0, kind=kind)))


def test_a_descriptor_without_an_owner() -> None:
    """It is none of a file."""
    with pytest.raises(ValueError, match="no owner"):
        parse(struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 0))


WHOLE: Final = descriptor_bytes(
    ME, entry_bytes(SYSTEM, FULL), entry_bytes(EVERYONE, MODIFY), entry_bytes(ME, FULL)
)


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_descriptor_that_is_cut_off(size: int) -> None:
    """It is refused, and never read as one that allows less."""
    with pytest.raises(ValueError, match=r".+"):
        parse(WHOLE[:size])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No other error comes out."""
    for read in (parse, parse_sid):
        try:
            read(data)
        except ValueError:
            continue


def test_the_longest_identifier_is_read() -> None:
    """It has fifteen parts."""
    longest = "S-1-5-" + "-".join(str(2**32 - 1) for _ in range(15))
    assert parse_sid(sid_bytes(longest)) == longest


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("010100000000000512000000", "S-1-5-18"),
        ("0102000000000005200000002002 0000", "S-1-5-32-544"),
        (
            "010500000000000515000000 01000000 02000000 ffffffff f4010000",
            "S-1-5-21-1-2-4294967295-500",
        ),
    ],
)
def test_security_identifier_has_its_text_form(data: str, text: str) -> None:
    """[MS-DTYP] 2.4.2: authority in big endian, the parts in little endian; a tail is ignored."""
    assert parse_sid(bytes.fromhex(data) + b"tail") == text
