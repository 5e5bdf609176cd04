"""Read job documents, with the programs that they start, from a folder in the agent's layout.

`epm-task freeze` makes one in `dist`: `Jobs/{id}.json` and `Jobs/bin/{Command}/…`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from epm_task.admin.deploy.program import Program, executable_of, read_program
from epm_task.admin.errors import BadBundle
from epm_task.contract.client_id import check_job_id
from epm_task.contract.json_text import MAX_BYTES, BadJson
from epm_task.errors import BadJobId, UnsafeConfiguration, sentence
from epm_task.files import documents
from epm_task.job.document import JobDocument
from epm_task.runtime.manifest import NAME as MANIFEST
from epm_task.runtime.manifest import ManifestError, differences, read_manifest
from epm_task.trust import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Document = dict[str, Any]


class Bundle(NamedTuple):
    """Programs by command and jobs by id that belong together; the first id is its name."""

    name: str
    programs: Mapping[str, Program]
    jobs: Mapping[str, Document]


def read_bundles(folder: Path) -> list[Bundle]:
    """Return what the folder holds, as sets that share no program, ordered by name.

    Raises:
        BadBundle: It holds no jobs, a program is incomplete, or one is started by no job.
    """
    try:
        programs, jobs = _read(folder)
    except OSError as error:
        raise BadBundle(
            f"{error.filename or folder} cannot be read",
            error.strerror or str(error),
            "build it again with epm-task freeze",
        ) from error
    if idle := sorted(programs.keys() - {c for job in jobs.values() for c in commands_of(job)}):
        raise BadBundle(
            f"no job of {folder} starts the program {idle[0]}",
            fix="add its job document, or remove the program",
        )
    return _together(programs, jobs)


def commands_of(document: Mapping[str, Any]) -> set[str]:
    """Return the commands that a job's tasks name."""
    tasks = document.get("tasks")
    listed = tasks if isinstance(tasks, list) else []
    return {str(task.get("command")) for task in listed if isinstance(task, dict)}


def _read(folder: Path) -> tuple[dict[str, Program], dict[str, Document]]:
    jobs_folder = folder / "Jobs"
    if not jobs_folder.is_dir():
        raise BadBundle(
            f"{folder} holds no folder Jobs",
            fix="build one with epm-task freeze, or name the folder that holds Jobs",
        )
    binaries = jobs_folder / "bin"
    found = sorted(binaries.iterdir()) if binaries.is_dir() else []
    programs = {path.name: _program(path) for path in found if path.is_dir()}
    jobs = {file.stem: _document(file) for file in documents(jobs_folder)}
    if not jobs:
        raise BadBundle(f"{jobs_folder} holds no job document", fix="write one: epm-task job")
    return programs, jobs


def _program(folder: Path) -> Program:
    if folder.is_symlink():
        raise BadBundle(f"{folder} is a link", fix="put the program itself there")
    program = read_program(folder, as_installed=False)
    changes: list[str] = []
    if executable_of(program) is None:
        changes = [f"it holds no {folder.name} that could be started"]
    elif MANIFEST in program.files:
        try:
            changes = differences(folder, read_manifest(folder))
        except ManifestError as error:
            changes = [sentence(error.what, error.why)]
    if changes:
        why = "; ".join(changes[:3])
        raise BadBundle(f"{folder} is not what was built", why, "build it again")
    return program


def _document(file: Path) -> Document:
    try:
        with open_regular(file) as stream:
            data = stream.read(MAX_BYTES + 1)
        document = JobDocument.parse(data).raw
        check_job_id(file.stem)
    except (BadJson, BadJobId, UnsafeConfiguration) as error:
        raise BadBundle.of(error, f"{file} cannot be used") from None
    if document.get("id") != file.stem:
        raise BadBundle(
            f"{file}: the id is {document.get('id')!r} and must equal the file's name",
            fix="rename the file",
        )
    return document


def _together(programs: Mapping[str, Program], jobs: Mapping[str, Document]) -> list[Bundle]:
    """Group the jobs so that two which start the same program are in one bundle."""
    groups: list[tuple[set[str], set[str]]] = []
    for job_id, document in jobs.items():
        commands = commands_of(document) & programs.keys()
        joined = [group for group in groups if group[1] & commands]
        groups = [group for group in groups if not group[1] & commands]
        ids = {job_id}.union(*(group[0] for group in joined))
        groups.append((ids, commands.union(*(group[1] for group in joined))))
    return [
        Bundle(
            min(ids),
            {command: programs[command] for command in sorted(commands)},
            {job_id: jobs[job_id] for job_id in sorted(ids)},
        )
        for ids, commands in sorted(groups, key=lambda group: min(group[0]))
    ]
