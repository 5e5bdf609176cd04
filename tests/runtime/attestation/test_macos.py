"""The structures of macOS are taken apart as its headers say; no call is tested."""

from __future__ import annotations

import ctypes
import socket
import sys

import pytest

from epm_task.runtime.attestation import macos
from epm_task.runtime.attestation.macos import read_socket

LOOPBACK = socket.inet_aton("127.0.0.1")


def _port(number: int) -> int:
    return socket.htons(number)


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
    found = read_socket(_darwin(), 42)
    assert found == ((LOOPBACK, 6889), (LOOPBACK, 50000), False, 42)


def test_darwin_dual_stack_listener_is_ipv6() -> None:
    """A listener with both version flags has the address ::, not 0.0.0.0."""
    found = read_socket(_darwin(vflag=3, state=1, local=bytes(16)), 42)
    assert found
    assert (found.local, found.listening) == ((bytes(16), 6889), True)


def test_darwin_other_kinds_are_left_out() -> None:
    """A socket that is not TCP is no row."""
    assert read_socket(_darwin(kind=1), 42) is None


@pytest.mark.skipif(sys.platform == "darwin", reason="this platform has an answer")
def test_unknown_platform_is_refused() -> None:
    """A platform without an answer raises, so that nothing is accepted."""
    with pytest.raises(OSError, match="does not say who holds a socket"):
        macos.listeners(LOOPBACK, 6889)
    with pytest.raises(OSError, match="does not say who holds a socket"):
        macos.owners((LOOPBACK, 1), (LOOPBACK, 2))
