"""A finding is what a rule found in one file, as people and programs read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epm_task.job.rule import Severity


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One finding; findings sort by file, line and code.

    Attributes:
        file: The file, as it was given.
        line: From 1.
        column: From 1, in characters.
        code: `EPM003`.
        severity: `error` or `warning`.
        pointer: JSON pointer of the value; empty for the whole document.
        what: What is wrong and what comes of it.
        fix: What to do.
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

    def facts(self) -> dict[str, Any]:
        """Return the attributes by name, for JSON."""
        return asdict(self)
