"""Reading a job takes a document from a file, and no more of the file than a document can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.job.document import JobDocument
from epm_task.job.json_source import MAX_BYTES

if TYPE_CHECKING:
    from pathlib import Path


def read_job(file: Path) -> JobDocument:
    """Return the document in *file*.

    Raises:
        BadSource: The file holds no job document.
        OSError: The file cannot be read.
    """
    with file.open("rb") as stream:
        return JobDocument.parse(stream.read(MAX_BYTES + 1))
