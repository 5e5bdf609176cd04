"""Freezing a program builds it aside, signs it, lists it, and puts it in its place."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from epm_task import __version__
from epm_task.files import write_atomically
from epm_task.freeze.build_environment import source_of
from epm_task.freeze.freeze_error import FreezeError
from epm_task.freeze.one_dir import build_one_dir, project_version
from epm_task.freeze.sbom import NAME as SBOM
from epm_task.freeze.sbom import Inside, bill_of_materials, components_of, python_version
from epm_task.freeze.zip_program import build_zip_program
from epm_task.job.document import JobDocument, encoded, write_document
from epm_task.job.json_source import BadSource
from epm_task.job.merge import merge
from epm_task.runtime.manifest import NAME as MANIFEST
from epm_task.runtime.manifest import VERSION, describe_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.freeze.build_environment import Source
    from epm_task.freeze.program import Built, Program


Backend = Literal["pyinstaller", "zipapp"]

#: What a manifest keeps of each task, so that `verify` can run it without its source.
_TASK_FACTS: Final = ("name", "job_id", "publishes", "plugin", "required")


class Frozen(NamedTuple):
    """A program in its place.

    Attributes:
        folder: `Jobs/bin/{Command}`.
        executable: The file that the agent starts.
        jobs: The job documents that were written.
        size_bytes: Size of all files.
        signed: How many files were signed.
        missing: Modules that its own files import, but that are not installed.
    """

    folder: Path
    executable: Path
    jobs: tuple[Path, ...]
    size_bytes: int
    signed: int
    missing: tuple[str, ...]


class Choices(NamedTuple):
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


def freeze(program: Program, choices: Choices) -> Frozen:
    """Build *program* and put it in the agent's layout below `choices.output`.

    Raises:
        FreezeError: It cannot be built; what stood in its place is still there.
        OSError: A file cannot be written.
    """
    if choices.one_file:
        raise FreezeError(
            "a one-file executable runs in a child of the process that the agent started and "
            "trusts, unpacks itself into a temporary folder, and leaves both behind when it is "
            "killed",
            "build without --onefile",
        )
    words = check_sign_command(choices.sign_command) if choices.sign_command else None
    place = choices.output.absolute() / "Jobs" / "bin" / program.command
    check_place(place)
    program.included()  # a name that is wrong is found before anything is built
    source = source_of(program.file)
    version = project_version(program.file)
    choices.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=".freeze-", dir=choices.output, ignore_cleanup_errors=True
    ) as work:
        built = _build(program, choices, Path(work).absolute(), source.epoch, version)
        signed = sign(built, words) if words else 0
        tidy(built, source.epoch)
        _describe(program, built, source, version, choices.backend)
        tidy(built, source.epoch)
        size = sum(path.lstat().st_size for path in built.folder.rglob("*") if path.is_file())
        put_in_place(built.folder, place)
    jobs = write_jobs(program, choices.output.absolute() / "Jobs")
    executable = place / built.executable
    return Frozen(place, executable, tuple(jobs), size, signed, built.missing)


def _build(program: Program, choices: Choices, work: Path, epoch: int, version: str) -> Built:
    if choices.backend == "zipapp":
        return build_zip_program(program, work, python=choices.python, epoch=epoch)
    return build_one_dir(program, work, epoch=epoch, version=version)


def _describe(
    program: Program, built: Built, source: Source, version: str, backend: Backend
) -> None:
    """Write the bill of materials, then the manifest, which lists that too."""
    components = components_of(built.contents)
    digests = {
        file.relative_to(built.folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in native_files(built.folder)
    }
    inside = Inside(program.command, version, components, python_version(), digests, source.epoch)
    (built.folder / SBOM).write_bytes(bill_of_materials(inside))
    manifest: dict[str, Any] = {
        "manifest": VERSION,
        "command": program.command,
        "executable": built.executable,
        "version": version,
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
        "libraries": {one.name: one.version for one in components},
        "files": describe_files(built.folder),
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False)
    (built.folder / MANIFEST).write_text(f"{text}\n", encoding="utf-8")


_FOLDER_MODE: Final = 0o755
_EXECUTABLE_MODE: Final = 0o755
_FILE_MODE: Final = 0o644


def tidy(built: Built, epoch: int) -> None:
    """Give every file the mode 0644, folders and the executable 0755, and all the same time."""
    executable = built.folder / built.executable
    for path in (built.folder, *built.folder.rglob("*")):
        if path.is_symlink():
            continue
        folder = path.is_dir()
        mode = _FOLDER_MODE if folder else _EXECUTABLE_MODE if path == executable else _FILE_MODE
        path.chmod(mode)
    for path in (*built.folder.rglob("*"), built.folder):
        if not path.is_symlink():
            os.utime(path, (epoch, epoch))


def check_place(place: Path) -> None:
    """Refuse to replace a folder that no build of ours has made.

    Raises:
        FreezeError: There is such a folder.
    """
    if place.is_symlink() or (place.exists() and not (place / MANIFEST).is_file()):
        raise FreezeError(
            f"{place} is there already, and holds no {MANIFEST} of an earlier build",
            "remove it, or choose another --output",
        )


def put_in_place(folder: Path, place: Path) -> None:
    """Move the built folder to its place; what was there before goes away afterwards.

    Raises:
        OSError: It cannot be moved; then the old one is back.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    old = folder.with_name(f"{folder.name}.old")
    replaced = place.exists()
    if replaced:
        place.rename(old)
    try:
        folder.rename(place)
    except OSError:
        if replaced:
            old.rename(place)
        raise
    if replaced:
        shutil.rmtree(old)


#: A document holds no secrets, and is read by people and programs of other accounts.
_MODE = 0o644


def write_jobs(program: Program, folder: Path) -> list[Path]:
    """Write the documents of the jobs that run *program* to `{id}.json` in *folder*.

    What people have added to the project's own `Jobs/{id}.json` is in them too.

    Raises:
        FreezeError: The project's own document cannot be read.
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for job in program.jobs:
        name = f"{job['document']['id']}.json"
        document = _with_additions(_project_jobs(program.file) / name, job["document"])
        write_atomically(folder / name, encoded(write_document(document)), mode=_MODE)
        written.append(folder / name)
    return written


def _with_additions(path: Path, built: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        present = JobDocument.parse(path.read_bytes())
    except FileNotFoundError:
        return built
    except BadSource as error:
        line, column = error.place
        raise FreezeError(
            f"{path}:{line}:{column}: this is no job document: {error.why}",
            f"correct it, or write it anew: epm-task job -o {path}",
        ) from None
    return merge(present.raw, built)


def _project_jobs(file: Path) -> Path:
    """Return the folder `Jobs` of the project, the nearest folder with a `pyproject.toml`."""
    folders = file.resolve().parents
    project = next((one for one in folders if (one / "pyproject.toml").is_file()), folders[0])
    return project / "Jobs"


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
        words = shlex.split(command, posix=sys.platform != "win32")
    except ValueError as error:
        raise FreezeError(
            f"--sign-command cannot be split: {error}", "correct its quotes"
        ) from None
    if not any(_PATH in word for word in words[1:]):
        raise FreezeError(
            "--sign-command does not say which file to sign",
            "write {path} in it, for example 'codesign --sign ID --options runtime {path}'",
        )
    return words


def sign(built: Built, words: list[str]) -> int:
    """Run the command on libraries first, then on the executable; return how many files that was.

    Its output goes to stderr, so that a tool may ask for a PIN. It gets no secret from us.

    Raises:
        FreezeError: It cannot be started, or one run of it fails.
    """
    files = native_files(built.folder)
    executable = built.folder / built.executable
    ordered = [*(file for file in files if file != executable), executable]
    for file in ordered:
        argv = [word.replace(_PATH, str(file)) for word in words]
        try:
            done = subprocess.run(argv, stdout=_STDERR, check=False, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FreezeError(
                f"the sign command cannot sign {file.name}: {error}", "correct --sign-command"
            ) from None
        if done.returncode:
            raise FreezeError(
                f"the sign command ended with exit code {done.returncode} for {file.name}",
                "its own message stands above; no program was put in place",
            )
    return len(ordered)


def native_files(folder: Path) -> list[Path]:
    """Return the files that the operating system loads: executables and libraries, in order."""
    return [path for path in sorted(folder.rglob("*")) if _is_native(path)]


def _is_native(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4).startswith(_NATIVE)
