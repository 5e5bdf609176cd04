"""The linter runs rules over documents; what it says has a place in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.job.finding import Finding
from epm_task.job.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from epm_task.job.json_source import BadSource
    from epm_task.job.rule import Hit, Rule
    from epm_task.job.subject import Subject

#: The rule that finds what is no document; it cannot be ignored.
UNREADABLE = "EPM000"


class UnknownCode(ValueError):
    """A code that no rule has."""

    def __init__(self, code: str) -> None:
        super().__init__(f"there is no rule {code}; `epm-task explain` lists them")


def choose(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> tuple[Rule, ...]:
    """Return the rules of *select*, all when it is empty, without those of *ignore*.

    Raises:
        UnknownCode: There is no such rule.
    """
    selected, ignored = _codes(select) or RULES.keys(), _codes(ignore)
    return tuple(r for code, r in RULES.items() if code in selected and code not in ignored)


def lint(subject: Subject, rules: Collection[Rule], *, name: str, line: int = 1) -> list[Finding]:
    """Return what the rules find in one document, by place.

    Args:
        subject: The document.
        rules: From `choose`.
        name: Name of the file, as people gave it.
        line: Where to point when the document has no text of its own: the line of the code.
    """
    found = (
        _finding(subject, rule, hit, name=name, line=line)
        for rule in rules
        for hit in rule.check(subject)
    )
    return sorted(found)


def unreadable(error: BadSource, *, name: str) -> Finding:
    """Return the finding for a file that is no document."""
    rule = RULES[UNREADABLE]
    what, _, fix = error.why.partition("; ")
    return Finding(
        name,
        *error.place,
        rule.code,
        rule.severity,
        error.pointer[:100],
        f"this is no job document: {what}",
        fix or "correct it",
    )


def _finding(subject: Subject, rule: Rule, hit: Hit, *, name: str, line: int) -> Finding:
    place = subject.document.place(hit.pointer, of_key=hit.of_key) or (line, 1)
    return Finding(name, *place, rule.code, rule.severity, hit.pointer, hit.what, hit.fix)


def _codes(given: Iterable[str]) -> set[str]:
    codes = {code.strip().upper() for text in given for code in text.split(",") if code.strip()}
    for code in sorted(codes - RULES.keys()):
        raise UnknownCode(code)
    return codes
