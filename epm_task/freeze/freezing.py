"""Freeze a program: build it aside, sign it, list what is inside, and put it in its place."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from epm_task import __version__
from epm_task.contract.argument_line import ArgumentsError, split_words
from epm_task.contract.json_text import BadJson, write_json
from epm_task.contract.program_text import program_text
from epm_task.files import naming, write_atomically
from epm_task.freeze import FreezeError, tell_nobody
from epm_task.freeze.backends import build_one_dir, build_zip_program
from epm_task.freeze.sbom import NAME as SBOM
from epm_task.freeze.sbom import bill_of_materials, libraries_in, python_version
from epm_task.job.document import read_present
from epm_task.job.merge import merge
from epm_task.job.project import BadProject, find_project, read_table
from epm_task.runtime.manifest import NAME as MANIFEST
from epm_task.runtime.manifest import VERSION, describe_files
from epm_task.shadows import described, shadows_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.freeze import Tell
    from epm_task.freeze.program import Build, Program

Backend = Literal["pyinstaller", "zipapp"]

#: Zip archives know no time before 1980.
_FIRST_ZIP_SECOND: Final = 315_532_800
#: What a manifest keeps of each task, so that `verify` can run it without its source.
_TASK_FACTS: Final = (
    *("name", "job_id", "publishes", "subscribes", "spread", "plugin", "required"),
)


class Frozen(NamedTuple):
    """A program in its place, `Jobs/bin/{Command}`, with its job documents.

    Attributes:
        signed: How many files were signed.
        missing: Modules that its own files import, but that are not installed.
    """

    folder: Path
    executable: Path
    jobs: tuple[Path, ...]
    size_bytes: int
    signed: int
    missing: tuple[str, ...]


class FreezeOptions(NamedTuple):
    """How programs are built.

    Attributes:
        output: Folder in which `Jobs/` is.
        backend: `pyinstaller`, or `zipapp` for endpoints that carry their own Python.
        python: The interpreter on the endpoint, for `zipapp`.
        sign_command: Command that signs `{path}`.
        one_file: Asked for, and refused.
    """

    output: Path = Path("dist")
    backend: Backend = "pyinstaller"
    python: str = "/usr/bin/python3"
    sign_command: str | None = None
    one_file: bool = False


#: What the folder's name begins with in which a program is built.
_ASIDE: Final = ".freeze-"


def freeze(program: Program, options: FreezeOptions, tell: Tell = tell_nobody) -> Frozen:
    """Build *program* and put it in the agent's layout below `options.output`.

    *tell* is told how many files are signed.

    Raises:
        FreezeError: It cannot be built; an earlier build in its place is still there.
        OSError: A file cannot be written.
    """
    if options.one_file:
        raise FreezeError(
            "a one-file executable was asked for",
            "it runs in a child of the process that the agent started and trusts, unpacks itself "
            "into a temporary folder, and leaves both behind when it is killed",
            "build without --onefile",
        )
    signer = check_sign_command(options.sign_command) if options.sign_command else None
    output = options.output.absolute()
    place = output / "Jobs" / "bin" / program.command
    check_place(place)
    program.included()  # a name that is wrong is found before anything is built
    needed = {module.partition(".")[0] for module in program.modules}
    for file, name in shadows_in(str(program.root), needed):
        raise FreezeError(*described(file, name, "the program needs that module"))
    source = source_of(program.file)
    output.mkdir(parents=True, exist_ok=True)
    with (
        naming(place, below=output / _ASIDE),
        tempfile.TemporaryDirectory(prefix=_ASIDE, dir=output, ignore_cleanup_errors=True) as work,
    ):
        aside = Path(work)
        if options.backend == "zipapp":
            build = build_zip_program(program, aside, python=options.python, epoch=source.epoch)
        else:
            build = build_one_dir(program, aside, epoch=source.epoch, version=source.version)
        signed = sign(build, signer, tell) if signer else 0
        tidy(build, source.epoch)
        _describe(program, build, source, options.backend)
        tidy(build, source.epoch)
        size = sum(path.lstat().st_size for path in build.folder.rglob("*") if path.is_file())
        place.parent.mkdir(parents=True, exist_ok=True)
        _put_in_place(build.folder, place, aside / ".before")
    jobs = write_jobs(program, output / "Jobs")
    return Frozen(place, place / build.executable, tuple(jobs), size, signed, build.missing)


def _put_in_place(built: Path, place: Path, before: Path) -> None:
    if place.exists():
        place.rename(before)
    try:
        built.rename(place)
    except OSError:
        if before.exists():
            before.rename(place)
        raise


def _describe(program: Program, build: Build, source: Source, backend: Backend) -> None:
    """Write the bill of materials, then the manifest, which lists that too."""
    libraries = libraries_in(build.contents)
    digests = {
        file.relative_to(build.folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in native_files(build.folder)
    }
    bill = bill_of_materials(program.command, source.version, libraries, digests, source.epoch)
    (build.folder / SBOM).write_bytes(bill)
    manifest: dict[str, Any] = {
        "manifest": VERSION,
        "command": program.command,
        "executable": build.executable,
        "version": source.version,
        "backend": backend,
        "platform": f"{platform.system()} {platform.machine()}",
        "python": python_version(),
        "epm_task": __version__,
        "source": {
            "file": program.file.name,
            "sha256": hashlib.sha256(program.file.read_bytes()).hexdigest(),
            "commit": source.commit,
            "changed": source.changed,
        },
        "tasks": [{key: task[key] for key in _TASK_FACTS} for task in program.tasks],
        "libraries": {one.name: one.version for one in libraries},
        "files": describe_files(build.folder),
    }
    (build.folder / MANIFEST).write_bytes(write_json(manifest))


class Source(NamedTuple):
    """Where the sources of a program come from.

    Attributes:
        version: The version of the project; 0.0.0 when it has none.
        commit: The commit in git; None when git does not know the file.
        changed: Whether there are changes that are not committed.
        epoch: Second of the commit, or `SOURCE_DATE_EPOCH`; what the build takes for now.
    """

    version: str
    commit: str | None
    changed: bool
    epoch: int


def source_of(file: Path, environ: Mapping[str, str] = os.environ) -> Source:
    """Return what the project and git know of *file*.

    Raises:
        FreezeError: `SOURCE_DATE_EPOCH` is not a number of seconds.
    """
    folder = file.resolve().parent
    log = _git(folder, "log", "-1", "--format=%H %ct")
    commit, _, second = log.partition(" ")
    changed = bool(commit) and bool(_git(folder, "status", "--porcelain", "--", "."))
    text = environ.get("SOURCE_DATE_EPOCH") or second or "0"
    if not text.isdigit():
        raise FreezeError(f"SOURCE_DATE_EPOCH={text!r} is not a number of seconds", fix="unset it")
    version = "0.0.0"
    if project := find_project(folder):
        with suppress(BadProject):
            version = str(read_table(project, "project").get("version", version))
    return Source(version, commit or None, changed, max(int(text), _FIRST_ZIP_SECOND))


def _git(folder: Path, *words: str) -> str:
    """Return what git says, or nothing without git or a repository."""
    if (git := shutil.which("git")) is None:
        return ""
    done = subprocess.run(
        [git, "-C", str(folder), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return program_text(done.stdout).strip() if done.returncode == 0 else ""


_PROGRAM_MODE: Final = 0o755
#: A document holds no secrets, and is read by people and programs of other accounts.
_FILE_MODE: Final = 0o644


def tidy(build: Build, epoch: int) -> None:
    """Give every file the mode 0644, folders and the executable 0755, and all the same time."""
    executable = build.folder / build.executable
    paths = [*build.folder.rglob("*"), build.folder]
    for path in paths:
        if not path.is_symlink():
            path.chmod(_PROGRAM_MODE if path.is_dir() or path == executable else _FILE_MODE)
    for path in paths:
        if not path.is_symlink():
            os.utime(path, (epoch, epoch))


def check_place(place: Path) -> None:
    """Refuse to replace a folder that no build of ours has made.

    Raises:
        FreezeError: *place* is such a folder.
    """
    if place.is_symlink() or (place.exists() and not (place / MANIFEST).is_file()):
        raise FreezeError(
            f"{place} is there already",
            f"it holds no {MANIFEST} of an earlier build",
            "remove it, or choose another --output",
        )


def write_jobs(program: Program, folder: Path) -> list[Path]:
    """Write the documents of the jobs that run *program* to `{id}.json` in *folder*.

    What people have added to the project's own `Jobs/{id}.json` is in them too.

    Raises:
        FreezeError: The project's own document cannot be read.
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = program.file.resolve()
    own = (find_project(source.parent) or source).parent / "Jobs"
    written = []
    for job in program.jobs:
        name = f"{job['document']['id']}.json"
        try:
            present = read_present(own / name)
        except BadJson as error:
            raise FreezeError(error.what, error.why, error.fix) from None
        document = merge(present.raw, job["document"]) if present else job["document"]
        write_atomically(folder / name, write_json(document), mode=_FILE_MODE)
        written.append(folder / name)
    return written


#: A time-stamp server may be slow; one that does not answer in ten minutes is down.
_SECONDS: Final = 600
_STDERR: Final = 2
_PATH: Final = "{path}"
#: ELF, PE and Mach-O: thin in both byte orders, universal.
_NATIVE: Final = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe")


def check_sign_command(command: str) -> list[str]:
    """Return the words of the command.

    Raises:
        FreezeError: It is empty, cannot be split, or does not say where the path goes.
    """
    try:
        words = split_words(command, windows=sys.platform == "win32")
    except ArgumentsError as error:
        raise FreezeError("--sign-command cannot be split", error.what, error.fix) from None
    if not any(_PATH in word for word in words[1:]):
        raise FreezeError(
            "--sign-command does not say which file to sign",
            fix="write {path} in it, for example 'codesign --sign ID --options runtime {path}'",
        )
    return words


def sign(build: Build, words: list[str], tell: Tell = tell_nobody) -> int:
    """Run the command on libraries first, then on the executable; return how many files that was.

    Its output goes to stderr, so that a tool may ask for a PIN. It gets no secret from us.

    Raises:
        FreezeError: It cannot be started, or one run of it fails.
    """
    files = native_files(build.folder)
    executable = build.folder / build.executable
    ordered = [*(file for file in files if file != executable), executable]
    for number, file in enumerate(ordered):
        tell(number, len(ordered), f"signing {build.folder.name}")
        argv = [word.replace(_PATH, str(file)) for word in words]
        try:
            done = subprocess.run(argv, stdout=_STDERR, check=False, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FreezeError(
                f"the sign command cannot sign {file.name}", str(error), "correct --sign-command"
            ) from None
        if done.returncode:
            raise FreezeError(
                f"the sign command ended with exit code {done.returncode} for {file.name}",
                fix="read its own message above; no program was put in place",
            )
    tell(len(ordered), len(ordered), f"signing {build.folder.name}")
    return len(ordered)


def native_files(folder: Path) -> list[Path]:
    """Return the files that the operating system loads: executables and libraries, in order."""
    return [path for path in sorted(folder.rglob("*")) if _is_native(path)]


def _is_native(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4).startswith(_NATIVE)
