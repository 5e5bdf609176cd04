"""A job file is the job document of a program, beside it in the agent's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epm_task.files.atomic_file import write_atomically
from epm_task.freeze.freeze_error import FreezeError
from epm_task.job.document import JobDocument
from epm_task.job.json_source import BadSource
from epm_task.job.json_writer import encoded, write_document
from epm_task.job.merge import merge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from epm_task.freeze.program import Program

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
