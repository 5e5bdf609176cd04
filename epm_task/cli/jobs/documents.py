"""Job files are read before anything is sent, so that a broken one leaves nothing half done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epm_task.cli.failure import Failure
from epm_task.cli.read_job import read_job
from epm_task.job.json_source import BadSource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def read_documents(files: Iterable[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Return each file with the job document that it holds.

    Raises:
        Failure: A file cannot be read, or holds no job document; the place in it is told.
    """
    return [(file, _read(file)) for file in files]


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_job(file).raw
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", "give a job file") from error
    except BadSource as error:
        raise Failure(f"{file}: {error}", "correct the file") from error
