"""Tests of the reasons why a program cannot be started: real files, each given to the system."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from peers.second_user import BECOME, needs_second_user, shared_folder

from epm_task.contract.cannot_start import (
    CannotStart,
    explain_end,
    explain_failed_start,
    find_obstacle,
    missing_program,
)
from epm_task.contract.executable import loader_of

scripts = pytest.mark.posix("#! lines are of POSIX")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="executables and mounts of Linux")


def written(path: Path, data: bytes | str, mode: int = 0o755) -> Path:
    """Write a program."""
    path.write_bytes(data if isinstance(data, bytes) else os.fsencode(data))
    path.chmod(mode)
    return path


def refused(program: Path, *, cwd: Path = Path("/"), first: str = "") -> CannotStart:
    """Let the system refuse a program, and return why."""
    argv = [first or str(program)]
    with pytest.raises(OSError, match="Err") as caught:
        subprocess.run(argv, check=False, cwd=cwd)
    return explain_failed_start(caught.value, program, argv, cwd=cwd)


@pytest.mark.parametrize(
    ("content", "why", "fix"),
    [
        ("#!/bin/sh\r\necho\r\n", r"ends with CRLF, as on Windows: '/bin/sh\r' is", "sed -i"),
        ("#!/no/such/python\n", "its interpreter /no/such/python: /no does not exist", "install"),
        ("#!\n", "names no interpreter", "install"),
        ("#!sh-that-is-nowhere -e\n", "'sh-that-is-nowhere' has no path", "/usr/bin/env NAME"),
        ("#!/{tmp}\n", "its interpreter /{tmp}: it is a folder", "name another one"),
        (f"#!/{'a' * 300}\n", "longer than 256 bytes", "name another one"),
        ("#!{tmp}/program\n", "whose interpreter is one, …", "name another one"),
        ("#!{tmp}/other\n", "its interpreter {tmp}/other: nobody may execute it", "name another"),
        ("hello\n", "it is text without a #! line", "begin it with #!/bin/sh"),
        ("", "it is empty", "again"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "a byte order mark precedes its #! line", "as UTF-8 without"),
        ("#!/bin/sh\n".encode("utf-16"), "it is text in UTF-16", "as UTF-8"),
        ("\n#!/bin/sh\n", "not at the very beginning", "delete"),
        (b"\x00\x01\x02", "neither an executable (ELF, PE, Mach-O) nor a script", "again"),
        (
            b"MZ" + bytes(58) + b"\x40\0\0\0" + b"PE\0\0\x64\xaa",
            "made for windows on arm64",
            "kind",
        ),
        (b"\xca\xfe\xba\xbe\x00\x00\x00\x41", "neither an executable", "again"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(
    tmp_path: Path, content: bytes | str, why: str, fix: str
) -> None:
    """After the system has refused it, and before. Windows reads no script."""
    written(tmp_path / "other", "#!/bin/sh\n", 0o644)
    if isinstance(content, str):
        content = content.replace("{tmp}", str(tmp_path))
    program = written(tmp_path / "program", content)
    if os.name == "nt" and program.read_bytes()[:2] not in {b"MZ", b"\xca\xfe"}:
        why, fix = "it is not an executable (PE), and #! lines are not read", "the extension"
    error = refused(program)
    assert why.replace("{tmp}", str(tmp_path)) in error.why
    assert fix in error.fix
    assert (error.what, error.exit_code) == (f"{program} cannot be executed", 126)
    assert str(find_obstacle(program)) == str(error)


@on_linux
def test_an_executable_of_another_machine_or_library_is_told(tmp_path: Path) -> None:
    """The header names the machine, and the program that loads it."""
    real = Path(sys.executable).resolve().read_bytes()
    other = written(tmp_path / "other", real[:18] + b"\x16\0" + real[20:])
    assert "made for linux on s390x, and this is linux on " in refused(other).why
    name = os.fsencode(loader_of(real[:4096]))
    assert name.startswith(b"/")
    lone = written(tmp_path / "lone", real.replace(name, b"/" + b"n" * (len(name) - 1), 1))
    assert f"its loader /{'n' * (len(name) - 1)} is missing" in refused(lone).why
    half = refused(written(tmp_path / "half", real[:18] + real[18:40]))
    assert (half.why, half.fix) == (
        "it is damaged, or made for another kind of machine", "build it, or copy it, again",
    )  # fmt: skip


@scripts
def test_what_the_system_starts_has_no_fault(tmp_path: Path) -> None:
    """Blanks, arguments, a script as the interpreter, a link, and no line end."""
    inner = written(tmp_path / "inner", "#!/bin/sh\n")
    (tmp_path / "link").symlink_to(inner)
    for text in ("#!/bin/sh", "#! /bin/sh -e \n", "#!/usr/bin/env sh\n", f"#!{inner}\n",
                 "#!/bin/sh\0x\n", "#!/usr/bin/env -S sh -e\n"):  # fmt: skip
        program = written(tmp_path / "program", text)
        assert subprocess.run([program], check=False).returncode == 0, text
        assert find_obstacle(program) is None, text
    for good in (tmp_path / "link", Path("/bin/sh")):
        assert find_obstacle(good) is None


def test_the_interpreter_has_no_fault() -> None:
    """An executable of this system, as the build of Python made it."""
    assert find_obstacle(Path(sys.executable)) is None


@scripts
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("#!/usr/bin/env python3\r\n", r"'/usr/bin/env python3\r' is its interpreter"),
        ("#!/usr/bin/env no-such-interpreter\n", "'no-such-interpreter' is not on PATH"),
        ("#!/bin/sh -\r\n", "ends with CRLF"),
    ],
)
def test_a_script_whose_interpreter_ran_and_found_nothing_is_told(
    tmp_path: Path, line: str, why: str
) -> None:
    """The system has started `env`, or a shell, which ends at once."""
    program = written(tmp_path / "program", line)
    ended = subprocess.run([program], check=False, capture_output=True)
    fault = explain_end(ended.returncode, program)
    assert fault is not None
    assert why in fault.why


@on_linux
def test_env_takes_one_name(tmp_path: Path) -> None:
    """The kernel makes one argument of all that follows."""
    program = written(tmp_path / "program", "#!/usr/bin/env sh -e\n")
    ended = subprocess.run([program], check=False, capture_output=True)
    fault = explain_end(ended.returncode, program)
    assert fault is not None
    assert fault.fix == "write #!/usr/bin/env -S sh -e"


def test_an_end_of_the_scripts_own_is_not_explained(tmp_path: Path) -> None:
    """Its last command was not found, or it chose the code."""
    program = written(tmp_path / "program", "#!/bin/sh\nexit 127\n")
    assert explain_end(127, program) is None
    assert explain_end(3, written(tmp_path / "other", "#!/no/such\n")) is None


def test_a_missing_program_names_what_is_missing(tmp_path: Path) -> None:
    """The first name on the way that leads nowhere, or what stands there instead."""
    file = written(tmp_path / "file", "")
    for path, why, code in (
        (tmp_path / "a" / "b", f"{tmp_path / 'a'} does not exist", 127),
        (file / "x", f"{file} is not a folder", 127),
        (tmp_path, "it is a folder", 126),
        (Path("a\0b"), "null", 127),
    ):
        error = missing_program({"executablePath": str(path)}, None)
        assert why in error.why
        assert error.exit_code == code
    (tmp_path / "scan" / "scan").mkdir(parents=True)
    assert missing_program({"command": "scan"}, tmp_path).why == "it is a folder"
    other = missing_program({"command": "other"}, tmp_path)
    assert other.what == f"no program at {tmp_path / 'other' / 'other'} nor on PATH"


@pytest.mark.posix("links, pipes and the length of a name are those of POSIX")
def test_a_program_behind_a_link_names_what_is_missing(tmp_path: Path) -> None:
    """And a pipe is none."""
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    os.mkfifo(tmp_path / "pipe")
    for path, why, code in (
        (tmp_path / "link", f"is a link to {tmp_path / 'gone'}, which does not exist", 127),
        (tmp_path / "round", "go round in a circle", 127),
        (tmp_path / ("x" * 300), "File name too long", 127),
        (tmp_path / "pipe", "it is a pipe", 126),
    ):
        error = missing_program({"executablePath": str(path)}, None)
        assert why in error.why
        assert error.exit_code == code


def test_a_missing_working_folder_is_not_the_programs_fault(tmp_path: Path) -> None:
    """Python raises the same error for both."""
    error = refused(Path(sys.executable), cwd=tmp_path / "gone")
    assert f"its working folder {tmp_path / 'gone'}" in error.why


def test_a_missing_interpreter_is_told_as_one(tmp_path: Path) -> None:
    """It comes from `scriptType` or the extension, with its path or without."""
    program = written(tmp_path / "job.ps1", "", 0o644)
    assert refused(program, first="no-such-shell").why == (
        "its interpreter 'no-such-shell' is not on PATH"
    )
    missing = f"its interpreter /no/sh: {Path('/no').absolute()} does not exist"
    assert missing in refused(program, first="/no/sh").why


@needs_second_user
def test_who_may_not_execute_a_program_is_told() -> None:
    """By the file's own mode, or by that of a folder above it."""
    code = (
        "import sys; from pathlib import Path\n"
        "from epm_task.contract.cannot_start import missing_program, find_obstacle\n"
        f"{BECOME}"
        "closed, own = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "print(missing_program({'executablePath': str(closed / 'x')}, None))\n"
        "print(find_obstacle(own))\n"
    )
    with shared_folder() as folder:
        (folder / "closed").mkdir(mode=0o700)
        written(folder / "closed" / "x", "#!/bin/sh\n")
        own = written(folder / "own", "#!/bin/sh\n", 0o700)
        command = [sys.executable, "-c", code, str(folder / "closed"), str(own)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"uid 65534 may not enter the folder {folder / 'closed'}; chmod a+x " in said
    assert f"{own} cannot be executed: it has mode 0700 and owner 0, and this is uid 65534" in said


@on_linux
@needs_second_user
def test_a_file_system_without_execution_is_told(tmp_path: Path) -> None:
    """Its mode would allow it; the mount is that of the test's own name space."""
    code = (
        "import sys; from pathlib import Path\n"
        "from epm_task.contract.cannot_start import find_obstacle\n"
        "print(find_obstacle(Path(sys.argv[1])))\n"
    )
    script = 'mount -t tmpfs -o noexec none "$1" || exit 9; cp /bin/sh "$1/x"; "$2" -c "$3" "$1/x"'
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", tmp_path, sys.executable, code],
        check=False,
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        pytest.skip("no file system can be mounted here")
    assert "its file system is mounted with noexec; move it" in ended.stdout


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.E2BIG, "longer than the system takes"),
        (errno.EMFILE, "no process, memory or descriptor left"),
        (errno.EACCES, "or a security policy"),
        (errno.ENOSPC, os.strerror(errno.ENOSPC)),
    ],
)
def test_what_only_the_error_tells(number: int, why: str) -> None:
    """Nothing is wrong with the file."""
    error = OSError(number, os.strerror(number), sys.executable)
    found = explain_failed_start(error, Path(sys.executable), [sys.executable], cwd=Path("/"))
    assert why in found.why


class WindowsRefusal(OSError):
    """What Windows raises; elsewhere `OSError` has no such number."""

    winerror = 0


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (193, "made for another kind of machine"),
        (216, "made for another kind of machine"),
        (740, "more rights than the agent has"),
        (1260, "security policy"),
        (225, "virus scanner"),
        (206, "longer than the system takes"),
        (267, "working folder"),
    ],
)
def test_the_numbers_of_windows_are_explained(number: int, why: str) -> None:
    """By the number, whatever the language of the system is."""
    error = WindowsRefusal(errno.EINVAL, "Zugriff verweigert")
    error.winerror = number
    found = explain_failed_start(error, Path(sys.executable), [sys.executable], cwd=Path("/"))
    assert why in found.why


def test_a_program_that_windows_could_not_load_is_explained() -> None:
    """The process exists, and ends with the status of the loader."""
    fault = explain_end(0xC000_0135, Path("scan.exe"))
    assert fault is not None
    assert fault.why == "a DLL that it needs is missing"
