"""Say why a system cannot start a program: by the error, the file, its folders, its interpreter.

The numbers of Windows are those of winerror.h and ntstatus.h.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.contract.executable import (
    HEAD_BYTES,
    SHEBANG_BYTES,
    loader_of,
    machines_of,
    oddity_of,
    shebang,
    this_machine,
)
from epm_task.contract.names import os_name
from epm_task.errors import EpmTaskError, UnsafeConfiguration
from epm_task.trust import check_kind, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: What a shell answers when a program is missing, and when it cannot be executed.
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126


class CannotStart(EpmTaskError):
    """The program of a task cannot be started.

    Attributes:
        exit_code: What a shell would answer.
    """

    def __init__(
        self, what: str, why: str = "", fix: str = "", exit_code: int = NOT_EXECUTABLE
    ) -> None:
        super().__init__(what, why, fix)
        self.exit_code = exit_code


class _Fault(NamedTuple):
    why: str
    fix: str = ""


def _not_executable(program: Path, fault: _Fault | None) -> CannotStart | None:
    return CannotStart(f"{program} cannot be executed", *fault) if fault else None


def find_obstacle(program: Path, search_path: str | None = None) -> CannotStart | None:
    """Return why this system could not execute a file, None when nothing is seen; it is read.

    *search_path* is the PATH on which `env` looks for an interpreter, this process's when None.
    """
    if fault := _reach(program):
        return fault
    return _not_executable(program, next(_faults(program, search_path), None))


def find_script_fault(program: Path, search_path: str | None = None) -> CannotStart | None:
    """Return what is wrong with the `#!` line of a file, None without one and on Windows."""
    try:
        with open_regular(program) as file:
            head = file.read(SHEBANG_BYTES)
    except (OSError, UnsafeConfiguration):
        head = b""
    if not head.startswith(b"#!") or sys.platform == "win32":
        return None
    return _not_executable(program, next(_script_faults(program, head, search_path), None))


#: As many scripts as Linux follows, each the interpreter of the one before.
_DEEPEST: Final = 5


def _faults(program: Path, search_path: str | None, depth: int = 0) -> Iterator[_Fault]:
    """Yield what is wrong with a file that can be reached: first its rights, then what it holds."""
    if sys.platform != "win32" and not os.access(program, os.X_OK):
        yield _rights(program)
    try:
        with open_regular(program) as file:
            head = file.read(HEAD_BYTES)
            system, machines = machines_of(head, file)
    except (OSError, UnsafeConfiguration):  # it may be executable all the same
        return
    if sys.platform == "win32" and system in {"", "script"}:
        fix = "give it the extension of its interpreter, such as .py or .ps1"
        yield _Fault("it is not an executable (PE), and #! lines are not read", fix)
    elif system == "script":
        yield from _script_faults(program, head, search_path, depth)
    elif not machines:
        yield _Fault(*oddity_of(head))
    elif system != os_name() or this_machine() not in machines:
        made = f"it was made for {system} on {' or '.join(sorted(machines))}"
        why = f"{made}, and this is {os_name()} on {this_machine()}"
        yield _Fault(why, "build it on a machine of this kind")
    elif system == "linux" and (loader := loader_of(head)) and not Path(loader).exists():
        why = f"its loader {loader} is missing: it was made for another C library"
        yield _Fault(why, "build it on a system of this kind")


def _rights(program: Path) -> _Fault:
    found, fix = program.stat(), f"chmod 755 {quote(str(program))}"
    if not found.st_mode & 0o111:
        return _Fault("nobody may execute it", fix)
    if sys.platform == "linux" and os.statvfs(program).f_flag & os.ST_NOEXEC:
        fix = "move it to another file system, or mount this one without noexec"
        return _Fault("its file system is mounted with noexec", fix)
    rights = f"it has mode {stat.S_IMODE(found.st_mode):04o} and owner {found.st_uid}"
    return _Fault(f"{rights}, and this is {_user()}", fix)


def _script_faults(
    program: Path, head: bytes, search_path: str | None, depth: int = 0
) -> Iterator[_Fault]:
    words = shebang(head)
    first, last = (words[0], words[-1]) if words else ("", "")
    fix = f"install it, or name another one in {program}"
    if not words:
        yield _Fault("its #! line names no interpreter", fix)
    elif last.endswith("\r") and not last.startswith("-S"):  # there `env` takes the blank off
        lf = f"save it with the line ends of Unix (LF): sed -i 's/\\r$//' {quote(str(program))}"
        why = f"its #! line ends with CRLF, as on Windows: {' '.join(words)!r} is its interpreter"
        yield _Fault(why, lf)
    elif len(os.fsencode(first)) >= SHEBANG_BYTES - 2:
        yield _Fault(f"its #! line is longer than {SHEBANG_BYTES} bytes", fix)
    elif not Path(first).is_absolute():
        path = "write #!/usr/bin/env NAME, or the whole path"
        yield _Fault(f"its interpreter {first!r} has no path", path)
    elif depth >= _DEEPEST:
        yield _Fault("its interpreter is a script, whose interpreter is one, …", fix)
    else:
        yield from _interpreter_faults(program, first, search_path, depth)
        if Path(first).name == "env":
            yield from _env_faults(last, search_path, fix)


def _interpreter_faults(
    program: Path, name: str, search_path: str | None, depth: int = 0
) -> Iterator[_Fault]:
    fix = f"install it, or name another one in {program}"
    found = name if Path(name).name != name else shutil.which(name, path=search_path)
    if found is None:
        yield _Fault(f"its interpreter {name!r} is not on PATH", fix)
        return
    fault = _reach(Path(found)) or next(_faults(Path(found), search_path, depth + 1), None)
    if fault:
        yield _Fault(f"its interpreter {found}: {fault.why}", fix)


def _env_faults(argument: str, search_path: str | None, fix: str) -> Iterator[_Fault]:
    """Yield what is wrong with the argument of `env`: one program, or a line after `-S`."""
    whole = not argument.startswith("-S") and sys.platform == "linux"
    name = argument if whole else [*argument.removeprefix("-S").split(), ""][0]
    if name[:1] in {"", "-", "/"} or "=" in name or shutil.which(name, path=search_path):
        return
    if " " in name:
        why = f"env takes {name!r} for the name of one program"
        yield _Fault(why, f"write #!/usr/bin/env -S {name}")
    yield _Fault(f"its interpreter {name!r} is not on PATH", fix)


def _reach(program: Path) -> CannotStart | None:
    """Return why a file cannot be looked at, by the first name on the way that cannot."""
    place = program
    try:
        for place in [*reversed(program.absolute().parents), program]:
            found = place.stat()
        check_kind(found, program)
    except UnsafeConfiguration as error:
        what = f"{program} cannot be executed"
        return CannotStart(what, error.why, "name a program, which is a file")
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None) or 0
        if number in {errno.EACCES, errno.EPERM}:
            why = f"{_user()} may not enter the folder {place.parent}"
            fix = f"chmod a+x {quote(str(place.parent))}"
            return CannotStart(f"{program} cannot be executed", why, fix)
        if number == errno.ENOENT and not place.parent.is_dir():  # Windows has one number for both
            number = errno.ENOTDIR
        whys = {
            errno.ENOENT: f"{place} does not exist",
            errno.ENOTDIR: f"{place.parent} is not a folder",
            errno.ELOOP: f"the links of {place} go round in a circle",
        }
        why = whys.get(number) or getattr(error, "strerror", None) or str(error)
        if number == errno.ENOENT and place.is_symlink():
            why = f"{place} is a link to {os.fspath(place.readlink())}, which does not exist"
        return CannotStart(f"{program} cannot be found", why, _PUT, NOT_FOUND)
    return None


def _user() -> str:
    return f"uid {os.geteuid()}" if sys.platform != "win32" else "the agent's user"


_PUT: Final = "put the program there first, or correct the path"


def missing_program(task: Mapping[str, Any], jobs_bin: Path | None) -> CannotStart:
    """Return why `find_program` has found nothing for a task."""
    given, command = task.get("executablePath"), str(task.get("command") or "")
    path = Path(str(given)) if given else (jobs_bin or Path()) / command / command
    fault = _reach(path)
    if fault and (given or fault.exit_code != NOT_FOUND):
        return fault
    why = fault.why if fault else ""
    return CannotStart(f"no program at {path} nor on PATH", why, _PUT, NOT_FOUND)


_ELSEWHERE: Final = (
    "it is damaged, or made for another kind of machine",
    "build it, or copy it, again",
)
_FORBIDDEN: Final = (
    "the system forbids it: the rights of the file, or a security policy",
    "allow it in the policy of this machine (SELinux, AppArmor, Gatekeeper, WDAC, an allow list)",
)
_EXHAUSTED: Final = (
    "the system has no process, memory or descriptor left for it",
    "raise the limits of the agent, or end what uses them up",
)
_TOO_LONG: Final = (
    "its arguments and its environment are longer than the system takes",
    "pass a file that holds them",
)
#: With these the file is as it must be.
_NOT_THE_FILE: Final = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.E2BIG, errno.ETXTBSY}
)
_IN_USE: Final = ("another process writes it", "replace a program by a rename, then run it again")
_NOT_THERE: Final = ("it, or a file that it needs, does not exist", _PUT)
#: What is left to say when nothing is wrong with the file as it is seen now.
_ERRORS: Final = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), _FORBIDDEN),
    **dict.fromkeys((errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE), _EXHAUSTED),
    errno.ENOENT: _NOT_THERE,
    errno.ENOEXEC: _ELSEWHERE,
    86: _ELSEWHERE,  # EBADARCH of macOS
    errno.ETXTBSY: _IN_USE,
    errno.E2BIG: _TOO_LONG,
}
_WINDOWS_ERRORS: Final = {
    **dict.fromkeys((2, 3), _NOT_THERE),  # FILE_NOT_FOUND, PATH_NOT_FOUND
    **dict.fromkeys((5, 1260), _FORBIDDEN),  # ACCESS_DENIED, ACCESS_DISABLED_BY_POLICY
    **dict.fromkeys((8, 14, 1450, 1455), _EXHAUSTED),  # memory, resources, page file
    32: _IN_USE,  # SHARING_VIOLATION
    **dict.fromkeys((11, 193, 216), _ELSEWHERE),  # BAD_FORMAT, BAD_EXE_FORMAT, MACHINE_TYPE
    **dict.fromkeys((87, 206), _TOO_LONG),  # INVALID_PARAMETER, FILENAME_EXCED_RANGE
    225: ("the virus scanner forbids it", "ask who manages it to allow the program"),
    740: ("it asks for more rights than the agent has", "remove requireAdministrator from it"),
    14001: ("the libraries that its manifest names are missing", "install their runtime"),
}
#: ERROR_DIRECTORY, which names no file.
_NO_FOLDER: Final = 267
#: A process that ends with one of these could not be loaded: it never ran.
_WINDOWS_ENDS: Final = {
    0xC000_0135: ("a DLL that it needs is missing", "put its whole folder there"),
    0xC000_007B: ("a DLL of it is made for another kind of machine", "build it for this one"),
    0xC000_0142: ("a DLL of it could not be initialised", "see the event log of Windows"),
}
#: What a shell and `env` end with when they cannot start a program, and 2 for wrong arguments.
_SUSPECT_ENDS: Final = frozenset({2, 126, 127})


def explain_failed_start(
    error: OSError, program: Path, argv: Sequence[str], *, cwd: Path, search_path: str | None = None
) -> CannotStart:
    """Return why the system did not start *argv*, which runs *program*, by the error and the files.

    *search_path* is the PATH that the process would have had.
    """
    what = f"{program} cannot be executed"
    windows: int | None = getattr(error, "winerror", None)  # not of an error of its C library
    folder = error.filename is not None and os.fspath(error.filename) == str(cwd)
    if folder or windows == _NO_FOLDER:
        return CannotStart(what, f"its working folder {cwd}: {error.strerror}", "make that folder")
    about_it = windows is not None or error.errno not in _NOT_THE_FILE
    if about_it and (fault := _find_fault(program, argv[0], search_path)):
        return fault
    known = _ERRORS.get(error.errno or 0) if windows is None else _WINDOWS_ERRORS.get(windows)
    return CannotStart(what, *(known or (error.strerror or str(error), "")))


def _find_fault(program: Path, first: str, search_path: str | None) -> CannotStart | None:
    if first == str(program):
        return find_obstacle(program, search_path)
    found = next(_interpreter_faults(program, first, search_path), None)
    return find_script_fault(program, search_path) or _not_executable(program, found)


def explain_end(
    exit_code: int, program: Path, search_path: str | None = None
) -> CannotStart | None:
    """Return why a process that was started never ran its program, None when nothing shows that.

    Such an end is that of `env` or a shell without the program, or one that Windows gives.
    """
    if why := _WINDOWS_ENDS.get(exit_code):
        return CannotStart(f"{program} cannot be executed", *why)
    return find_script_fault(program, search_path) if exit_code in _SUSPECT_ENDS else None
