"""Describe what goes wrong with job documents: a rule, and what it finds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from epm_task.job.subject import Subject


#: `error`: the agent refuses the job, or it can do nothing. `warning`: it does what few mean.
#: `info`: worth knowing, and no reason to refuse a document.
Severity = Literal["error", "warning", "info"]


class Hit(NamedTuple):
    """Where a rule found something.

    Attributes:
        pointer: The value, or the object that lacks one.
        what: What is wrong and what comes of it, without a full stop.
        fix: What to do.
        of_key: The name of the value is meant, not the value.
    """

    pointer: str
    what: str
    fix: str
    of_key: bool = False


Check = Callable[["Subject"], Iterator[Hit]]


class Rule(NamedTuple):
    """One rule; the docstring of its check is the page that `epm-task explain` shows."""

    code: str
    title: str
    severity: Severity
    check: Check

    @property
    def page(self) -> str:
        """Why the rule is there, with a wrong and a right example, in Markdown."""
        return inspect.getdoc(self.check) or ""


def rule(code: str, title: str, severity: Severity = "warning") -> Callable[[Check], Rule]:
    """Make the decorated function a rule."""
    return lambda check: Rule(code, title, severity, check)


class Finding(NamedTuple):
    """One finding; findings sort by file, line and code.

    Attributes:
        line: From 1.
        column: From 1, in characters.
        pointer: JSON pointer of the value; empty for the whole document.
    """

    file: str
    line: int
    column: int
    code: str
    severity: Severity
    pointer: str
    what: str
    fix: str

    def __str__(self) -> str:
        """Return one line: place, code, what, fix, pointer."""
        where = f" [{self.pointer}]" if self.pointer else ""
        return f"{self.file}:{self.line}:{self.column}: {self.code} {self.what}; {self.fix}{where}"
