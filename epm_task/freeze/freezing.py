"""Freezing a program builds it aside, signs it, lists it, and puts it in its place."""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from epm_task import __version__
from epm_task.freeze.build_environment import source_of
from epm_task.freeze.components import components_of, python_version
from epm_task.freeze.freeze_error import FreezeError
from epm_task.freeze.job_file import write_jobs
from epm_task.freeze.one_dir import build_one_dir
from epm_task.freeze.placing import check_place, put_in_place, tidy
from epm_task.freeze.sbom import NAME as SBOM
from epm_task.freeze.sbom import Inside, bill_of_materials
from epm_task.freeze.signing import check_sign_command, native_files, sign
from epm_task.freeze.version_resource import project_version
from epm_task.freeze.zip_program import build_zip_program
from epm_task.runtime.manifest import NAME as MANIFEST
from epm_task.runtime.manifest import VERSION, describe_files

if TYPE_CHECKING:
    from epm_task.freeze.build_environment import Source
    from epm_task.freeze.built import Built
    from epm_task.freeze.program import Program

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
