"""The rule of text: a file must be a JSON document before anything else can be said about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.job.rule import Hit, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.job.subject import Subject


@rule("EPM000", "no job document", "error")
def readable(subject: Subject) -> Iterator[Hit]:  # noqa: ARG001  # the linter finds it, on reading
    """The file is no JSON object in UTF-8, so no other rule can look at it.

    JSON has no comments, no comma after the last entry, no single quotes, no NaN. A name stands
    once in an object. Editors on Windows may save UTF-16: choose UTF-8. A byte order mark does no
    harm. A job is at most 1 MiB long and 64 levels deep. This rule cannot be ignored.

    - wrong: `{"id": "scan",}`
    - right: `{"id": "scan"}`
    """
    yield from ()
