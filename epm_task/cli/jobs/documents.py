"""Job files are read before anything is sent, so that a broken one leaves nothing half done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from epm_task.cli.failure import Failure
from epm_task.runtime.json_object import decode_object

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: A job document has a few KiB.
_MAX_BYTES: Final = 1024 * 1024
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def read_documents(files: Iterable[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Return each file with the job document that it holds.

    Raises:
        Failure: A file cannot be read, is larger than 1 MiB, or holds no JSON object in UTF-8.
    """
    return [(file, _read(file)) for file in files]


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", "give a job file") from error
    if len(data) > _MAX_BYTES:
        raise Failure(f"{file} is larger than 1 MiB", "give a job file, which is JSON text")
    try:
        return decode_object(data.removeprefix(_BYTE_ORDER_MARK))
    except ValueError as error:
        raise Failure(f"{file} is no job document: {error}", "write a JSON object in UTF-8") from (
            error
        )
