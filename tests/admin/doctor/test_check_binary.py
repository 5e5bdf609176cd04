"""Tests of the check of binaries: real executables, and headers made by hand."""

from __future__ import annotations

import platform
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import job_document
from admin.doctor.setups import seen, with_document
from hypothesis import given
from hypothesis import strategies as st
from peers.garbling import garbled

from epm_task.admin.doctor.check_binary import check_binaries, check_listed, read_executable
from epm_task.admin.doctor.check_job import check_drift, check_topics
from epm_task.admin.doctor.finding import State

if TYPE_CHECKING:
    from pathlib import Path

COOKIE = struct.Struct("!8sIIII64s")
MAGIC = b"MEI\014\013\012\013\016"


def written(folder: Path, data: bytes) -> Path:
    """Write a file."""
    path = folder / "program"
    path.write_bytes(data)
    return path


def elf(machine: int, order: str = "<") -> bytes:
    """Return the header of an ELF file."""
    return (
        b"\x7fELF\x02"
        + bytes([1 if order == "<" else 2])
        + bytes(12)
        + struct.pack(f"{order}H", machine)
    )


def pe(machine: int) -> bytes:
    """Return the header of a PE file."""
    head = b"MZ" + bytes(58) + struct.pack("<I", 128)
    return head.ljust(128, b"\0") + b"PE\0\0" + struct.pack("<H", machine)


def archive(*kinds: bytes) -> bytes:
    """Return a PyInstaller archive whose table has entries of these kinds."""
    table = b"".join(
        struct.pack("!IIIIBc", 32, 0, 0, 0, 0, kind).ljust(32, b"\0") for kind in kinds
    )
    length = len(table) + COOKIE.size
    return table + COOKIE.pack(MAGIC, length, 0, len(table), 311, b"libpython3.11.so")


@pytest.mark.skipif(sys.platform != "linux", reason="the interpreter is ELF on Linux")
def test_the_interpreter_is_made_for_this_machine() -> None:
    """A real executable."""
    from pathlib import Path

    found = read_executable(Path(sys.executable).resolve())
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    assert (found.system, found.machines, found.one_file) == ("linux", frozenset({machine}), "")


@pytest.mark.parametrize(
    ("data", "system", "machines"),
    [
        (elf(0x3E), "linux", {"x86_64"}),
        (elf(0x16, ">"), "linux", {"s390x"}),
        (elf(0x999), "linux", {"machine 0x999"}),
        (pe(0x8664), "windows", {"x86_64"}),
        (pe(0xAA64), "windows", {"arm64"}),
        (b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01", "macOS", {"arm64"}),
        (
            b"\xca\xfe\xba\xbe" + struct.pack(">I", 2)
            + struct.pack(">IIIII", 0x01000007, 3, 0, 0, 0)
            + struct.pack(">IIIII", 0x0100000C, 0, 0, 0, 0),
            "macOS",
            {"x86_64", "arm64"},
        ),
        (b"#!/bin/sh\n", "script", set()),
        (b"\xca\xfe\xba\xbe\x00\x00\x00\x41", "macOS", set()),
        (b"MZ" + bytes(10), "", set()),
        (b"", "", set()),
    ],
)  # fmt: skip
def test_headers_tell_system_and_machines(
    tmp_path: Path, data: bytes, system: str, machines: set[str]
) -> None:
    """ELF, PE, Mach-O of one or several machines, scripts, and nothing of it."""
    found = read_executable(written(tmp_path, data))
    assert (found.system, found.machines) == (system, frozenset(machines))


@pytest.mark.parametrize(
    ("data", "beside", "packer"),
    [
        (archive(b"s", b"b", b"x"), False, "PyInstaller"),
        (archive(b"s", b"b") + b"a signature of some bytes", False, "PyInstaller"),
        (archive(b"s", b"z"), False, ""),
        (COOKIE.pack(MAGIC, 1 << 30, 0, 0, 311, b"x"), False, "PyInstaller"),
        (COOKIE.pack(MAGIC, 1 << 30, 0, 0, 311, b"x"), True, ""),
        (b"NUITKA_ONEFILE_PARENT", False, "Nuitka"),
        (b"nothing special", False, ""),
    ],
)
def test_one_file_is_seen_by_what_the_archive_holds(
    tmp_path: Path, data: bytes, packer: str, *, beside: bool
) -> None:
    """A library in the table, or a broken table without libraries beside."""
    if beside:
        (tmp_path / "_internal").mkdir()
    assert read_executable(written(tmp_path, elf(0x3E) + bytes(64) + data)).one_file == packer


@pytest.mark.parametrize(
    ("appsettings", "state"),
    [
        ('{"Settings": {"AllowedNonAdminExecutables": ["other", "probe"]}}', "ok"),
        ('{"Settings": {"AllowedNonAdminExecutables": ["other", "probe.exe", 5]}}', "problem"),
        ('{"Settings": {"AllowedNonAdminExecutables": []}}', "problem"),
        ('{"Settings": {"AllowedNonAdminExecutables": "probe"}}', "unknown"),
        ('{"AllowedNonAdminExecutables": ["probe"], "Settings": 5}', "unknown"),
        ("{", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_agent_lists_what_users_run(
    tmp_path: Path, appsettings: str | None, state: str
) -> None:
    """A service, and who runs elevated, need no entry."""
    if appsettings is not None:
        (tmp_path / "appsettings.json").write_text(appsettings)
    for kind, states in (("User", [state]), ("UserDesktop", [state]), ("UserElevated", [])):
        setup = with_document(tmp_path, tasks=[{"command": "probe", "ExecutionType": kind}])
        assert [found for found, _ in seen(check_listed, setup)] == states
    setup.root = None
    setup.document = {"tasks": [{"command": "probe", "executionType": "User"}]}
    assert [found for found, _ in seen(check_listed, setup)] == ["unknown"]


@given(data=st.binary(max_size=300))
def test_no_bytes_are_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever is in a file, the answer is one of the kinds."""
    for head in (b"", b"\x7fELF\x02\x01", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", MAGIC):
        path = tmp_path_factory.getbasetemp() / "fuzzed"
        path.write_bytes(head + data)
        assert read_executable(path).system in {"", "linux", "windows", "macOS", "script"}


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "packer"), [("--onefile", "PyInstaller"), ("--onedir", "")])
def test_real_builds_of_pyinstaller_are_told_apart(tmp_path: Path, mode: str, packer: str) -> None:
    """Both kinds, as the installed version makes them."""
    (tmp_path / "hello.py").write_text("print('hello')\n")
    subprocess.run(
        [
            *(sys.executable, "-m", "PyInstaller", mode, "--distpath", "out", "--log-level=ERROR"),
            "hello.py",
        ],
        cwd=tmp_path,
        check=True,
    )
    name = "hello.exe" if sys.platform == "win32" else "hello"
    built = next(path for path in (tmp_path / "out").rglob(name) if path.is_file())
    assert read_executable(built).one_file == packer


def test_a_binary_of_another_machine_is_a_fault(tmp_path: Path) -> None:
    """Both machines are named."""
    path = tmp_path / "Jobs" / "bin" / "probe" / "probe"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"MZ" + bytes(58) + b"\x40\0\0\0" + b"PE\0\0\x64\xaa")
    path.chmod(0o755)
    found = {f.check: f for f in check_binaries(with_document(tmp_path))}
    assert "windows on arm64" in found["start"].why
    assert found["start"].state is State.PROBLEM


@pytest.mark.posix("PATH is looked at as on POSIX")
def test_a_program_on_path_is_found(tmp_path: Path) -> None:
    """As the agent does, after its own folder."""
    setup = with_document(tmp_path, tasks=[{"id": "one", "command": "sh"}])
    found = {f.check: f for f in check_binaries(setup)}
    assert found["binary"].what.endswith("/sh")


@pytest.mark.posix("#! lines are of POSIX")
@pytest.mark.parametrize(
    ("name", "text", "mode", "why"),
    [
        ("probe", "#!/bin/sh\r\n", 0o755, "ends with CRLF"),
        ("probe", "#!/no/such/python\n", 0o755, "/no does not exist"),
        ("probe", "hello\n", 0o755, "text without a #! line"),
        ("probe.py", "#!/no/such/python\n", 0o644, "/no does not exist"),
        ("probe.sh", "echo\n", 0o644, ""),
    ],
)
def test_a_program_that_cannot_start_is_a_fault(
    tmp_path: Path, name: str, text: str, mode: int, why: str
) -> None:
    """Before anybody runs it; a script with a known extension needs neither mode nor #! line."""
    path = tmp_path / "Jobs" / "bin" / "probe" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, newline="")
    path.chmod(mode)
    found = {f.check: f for f in check_binaries(with_document(tmp_path))}
    assert ("start" in found) is bool(why)
    if why:
        assert (found["start"].state, why in found["start"].why) == (State.PROBLEM, True)


@pytest.mark.parametrize(
    ("task", "root", "state"),
    [
        ({"command": "no-such-program"}, False, "unknown"),
        ({"command": "no-such-program"}, True, "problem"),
        ({"command": "a/b"}, True, "problem"),
        ({"command": "x", "executablePath": "/no/such/program"}, False, "problem"),
    ],
)
def test_a_program_that_is_nowhere_is_told(
    tmp_path: Path, task: dict[str, Any], state: str, *, root: bool
) -> None:
    """An `executablePath` is the only place looked at."""
    setup = with_document(tmp_path, tasks=[{"id": "one", **task}])
    setup.root = setup.root if root else None
    ((found, _),) = seen(check_binaries, setup)
    assert found == state


def test_a_file_of_no_known_kind_is_a_note(tmp_path: Path) -> None:
    """The agent may know its extension."""
    path = tmp_path / "program.ps1"
    path.write_text("Write-Output hello")
    setup = with_document(tmp_path, tasks=[{"id": "one", "executablePath": str(path)}])
    found = {f.check: f for f in check_binaries(setup)}
    assert found["architecture"].state is State.WARNING
    assert "one-dir" not in found


def test_a_garbled_job_is_examined_all_the_same(tmp_path: Path) -> None:
    """Each field dropped, renamed, or with another value: a finding, never an accident."""
    folder = tmp_path / "Jobs" / "bin" / "probe"
    folder.mkdir(parents=True)
    program = str(tmp_path / "tool")
    for what, variant in (
        *garbled(job_document(osFilter={}, eventTopic="KeeperLogger")),
        *garbled(job_document(tasks=[{"id": "one", "executablePath": program}])),
    ):
        setup = with_document(tmp_path)
        setup.document = variant
        setup.built = job_document(enabled=True, parameters=[])
        try:
            for check in (check_binaries, check_drift, check_topics):
                seen(check, setup)
        except Exception as error:
            error.add_note(what)
            raise
