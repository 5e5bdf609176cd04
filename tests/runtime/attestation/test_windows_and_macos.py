"""The structures of Windows and macOS are taken apart as their headers say; no call is tested."""

from __future__ import annotations

import ctypes
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from epm_task.runtime.attestation import windows_and_macos as attestation_foreign
from epm_task.runtime.attestation.windows_and_macos import (
    parse_darwin_socket,
    parse_sid,
    parse_windows_table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK = socket.inet_aton("127.0.0.1")
LOOPBACK_6 = bytes(15) + b"\x01"


def _port(number: int) -> int:
    return socket.htons(number)


class WindowsRow(ctypes.LittleEndianStructure):
    """MIB_TCPROW_OWNER_MODULE, field by field from tcpmib.h."""

    _fields_ = [
        ("dwState", ctypes.c_uint32),
        ("dwLocalAddr", ctypes.c_uint8 * 4),
        ("dwLocalPort", ctypes.c_uint32),
        ("dwRemoteAddr", ctypes.c_uint8 * 4),
        ("dwRemotePort", ctypes.c_uint32),
        ("dwOwningPid", ctypes.c_uint32),
        ("liCreateTimestamp", ctypes.c_uint64),
        ("OwningModuleInfo", ctypes.c_uint64 * 16),
    ]


class WindowsRow6(ctypes.LittleEndianStructure):
    """MIB_TCP6ROW_OWNER_MODULE, field by field from tcpmib.h."""

    _fields_ = [
        ("ucLocalAddr", ctypes.c_uint8 * 16),
        ("dwLocalScopeId", ctypes.c_uint32),
        ("dwLocalPort", ctypes.c_uint32),
        ("ucRemoteAddr", ctypes.c_uint8 * 16),
        ("dwRemoteScopeId", ctypes.c_uint32),
        ("dwRemotePort", ctypes.c_uint32),
        ("dwState", ctypes.c_uint32),
        ("dwOwningPid", ctypes.c_uint32),
        ("liCreateTimestamp", ctypes.c_uint64),
        ("OwningModuleInfo", ctypes.c_uint64 * 16),
    ]


def _windows_table(rows: Sequence[ctypes.LittleEndianStructure]) -> bytes:
    class Table(ctypes.LittleEndianStructure):
        _fields_ = [("dwNumEntries", ctypes.c_uint32), ("table", type(rows[0]) * len(rows))]

    return bytes(Table(len(rows), (type(rows[0]) * len(rows))(*rows)))


def test_windows_ipv4_rows_are_read() -> None:
    """State, both ends, pid and time stand where a C compiler puts them."""
    ends = (ctypes.c_uint8 * 4)(*LOOPBACK), (ctypes.c_uint8 * 4)(*LOOPBACK)
    rows = [
        WindowsRow(2, ends[0], _port(6889), (ctypes.c_uint8 * 4)(), 0, 1234, 99),
        WindowsRow(5, ends[0], _port(6889), ends[1], _port(50000), 1235, 2**40),
    ]
    listening, connected = parse_windows_table(_windows_table(rows), 4)
    assert listening == ((LOOPBACK, 6889), (bytes(4), 0), True, 1234, 99)
    assert connected == ((LOOPBACK, 6889), (LOOPBACK, 50000), False, 1235, 2**40)


def test_windows_ipv6_rows_are_read() -> None:
    """The IPv6 row has another order, and a mapped address becomes the IPv4 one."""
    mapped = (ctypes.c_uint8 * 16)(*(bytes(10) + b"\xff\xff" + LOOPBACK))
    rows = [
        WindowsRow6((ctypes.c_uint8 * 16)(*LOOPBACK_6), 7, _port(6889), dwState=2, dwOwningPid=8),
        WindowsRow6(mapped, 0, _port(6889), mapped, 0, _port(1), 5, 9, 10),
    ]
    listening, connected = parse_windows_table(_windows_table(rows), 16)
    assert listening == ((LOOPBACK_6, 6889), (bytes(16), 0), True, 8, 0)
    assert connected == ((LOOPBACK, 6889), (LOOPBACK, 1), False, 9, 10)


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


class InSockInfo(ctypes.LittleEndianStructure):
    """in_sockinfo, field by field from bsd/sys/proc_info.h."""

    _fields_ = [
        ("insi_fport", ctypes.c_int32),
        ("insi_lport", ctypes.c_int32),
        ("insi_gencnt", ctypes.c_uint64),
        ("insi_flags", ctypes.c_uint32),
        ("insi_flow", ctypes.c_uint32),
        ("insi_vflag", ctypes.c_uint8),
        ("insi_ip_ttl", ctypes.c_uint8),
        ("rfu_1", ctypes.c_uint32),
        ("insi_faddr", ctypes.c_uint8 * 16),
        ("insi_laddr", ctypes.c_uint8 * 16),
        ("in4_tos", ctypes.c_uint8),
        ("in6", ctypes.c_uint32 * 3),
    ]


class SocketFdInfo(ctypes.LittleEndianStructure):
    """socket_fdinfo with a tcp_sockinfo, field by field from bsd/sys/proc_info.h."""

    _fields_ = [
        ("fi_openflags", ctypes.c_uint32),
        ("fi_status", ctypes.c_uint32),
        ("fi_offset", ctypes.c_int64),
        ("fi_type", ctypes.c_int32),
        ("fi_guardflags", ctypes.c_uint32),
        ("vst_dev_to_gid", ctypes.c_uint32 * 6),
        ("vst_times_size_blocks", ctypes.c_int64 * 10),
        ("vst_blksize_flags_gen_rdev", ctypes.c_uint32 * 4),
        ("vst_qspare", ctypes.c_int64 * 2),
        ("soi_so", ctypes.c_uint64),
        ("soi_pcb", ctypes.c_uint64),
        ("soi_type_protocol_family", ctypes.c_int32 * 3),
        ("soi_options_to_error", ctypes.c_int16 * 8),
        ("soi_oobmark", ctypes.c_uint32),
        ("soi_rcv_snd", ctypes.c_uint32 * 12),
        ("soi_kind", ctypes.c_int32),
        ("rfu_1", ctypes.c_uint32),
        ("tcpsi_ini", InSockInfo),
        ("tcpsi_state", ctypes.c_int32),
        ("rest_of_the_union", ctypes.c_uint8 * 444),
    ]


def _darwin(kind: int = 2, vflag: int = 1, state: int = 4, local: bytes = LOOPBACK) -> bytes:
    info = SocketFdInfo(soi_kind=kind, tcpsi_state=state)
    info.tcpsi_ini.insi_lport = _port(6889)
    info.tcpsi_ini.insi_fport = _port(50000)
    info.tcpsi_ini.insi_vflag = vflag
    info.tcpsi_ini.insi_laddr = (ctypes.c_uint8 * 16)(*local.rjust(16, b"\0"))
    info.tcpsi_ini.insi_faddr = (ctypes.c_uint8 * 16)(*LOOPBACK.rjust(16, b"\0"))
    return bytes(info)


def test_darwin_structure_has_its_known_size() -> None:
    """XNU's socket_fdinfo has 792 bytes on both architectures."""
    assert ctypes.sizeof(SocketFdInfo) == 792


def test_darwin_ipv4_socket_is_read() -> None:
    """Both ends and the pid of a connected IPv4 socket stand where the header puts them."""
    found = parse_darwin_socket(_darwin(), 42)
    assert found == ((LOOPBACK, 6889), (LOOPBACK, 50000), False, 42, 0)


def test_darwin_dual_stack_listener_is_ipv6() -> None:
    """A listener with both version flags has the address ::, not 0.0.0.0."""
    found = parse_darwin_socket(_darwin(vflag=3, state=1, local=bytes(16)), 42)
    assert found
    assert (found.local, found.listening) == ((bytes(16), 6889), True)


def test_darwin_other_kinds_are_left_out() -> None:
    """A socket that is not TCP is no row."""
    assert parse_darwin_socket(_darwin(kind=1), 42) is None


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="this platform has an answer")
def test_unknown_platform_is_refused() -> None:
    """A platform without an answer raises, so that nothing is accepted."""
    with pytest.raises(OSError, match="does not say who holds a socket"):
        attestation_foreign.listeners(LOOPBACK, 6889)
    with pytest.raises(OSError, match="does not say who holds a socket"):
        attestation_foreign.owners((LOOPBACK, 1), (LOOPBACK, 2))
