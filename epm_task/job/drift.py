"""Drift is the difference between the document on disk and the one that the code makes."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

from epm_task.job.json_writer import INDENT, indent_of, write_document
from epm_task.job.merge import merge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.job.document import JobDocument


class Drift(NamedTuple):
    """What writing the document would change.

    Attributes:
        document: The document as it should be: the one on disk, with what the code states.
        text: The same as it would be written.
        diff: A unified diff; empty when the document on disk says what the code says.
    """

    document: dict[str, Any]
    text: str
    diff: str


def drift(present: JobDocument | None, built: Mapping[str, Any], file: str) -> Drift:
    """Compare what is on disk with what the code makes.

    The layout of the file is not compared: a document that says the same has no drift.

    Args:
        present: The document on disk; None when there is none.
        built: The document from the code.
        file: Name of the file, for the head of the diff.
    """
    if present is None:
        text = write_document(built)
        return Drift(dict(built), text, unified_diff("", text, file))
    merged = merge(present.raw, built)
    indent = indent_of(present.source.text) if present.source else INDENT
    text = write_document(merged, indent=indent)
    return Drift(merged, text, unified_diff(write_document(present.raw, indent=indent), text, file))


def unified_diff(before: str, after: str, file: str) -> str:
    """Return the changes in the form that `diff -u` has; empty when there are none."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        f"{file} (on disk)",
        f"{file} (from the code)",
    )
    return "".join(lines)
