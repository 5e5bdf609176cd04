"""Run the rules over job documents; show findings as SARIF, and rules as pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from epm_task import __homepage__, __version__
from epm_task.contract.record import printable
from epm_task.errors import EpmTaskError
from epm_task.job.rule import Finding
from epm_task.job.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from epm_task.contract.json_text import BadJson
    from epm_task.job.rule import Rule
    from epm_task.job.subject import Subject


class UnknownCode(EpmTaskError, ValueError):
    """A code that no rule has."""

    def __init__(self, code: str) -> None:
        fix = "choose among those of `epm-task explain`, in --select, --ignore or [tool.epm-task]"
        super().__init__(f"no rule has the code {code}", fix=fix)


def choose(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> tuple[Rule, ...]:
    """Return the rules of *select*, all when it is empty, without those of *ignore*.

    Raises:
        UnknownCode: No rule has such a code.
    """
    selected, ignored = _codes(select) or RULES.keys(), _codes(ignore)
    return tuple(r for code, r in RULES.items() if code in selected and code not in ignored)


def lint(subject: Subject, rules: Collection[Rule], *, name: str, line: int = 1) -> list[Finding]:
    """Return what the rules find in the document of the file *name*, by place.

    A document without a text of its own is pointed at by *line*, that of its code.
    """
    found = []
    for rule in rules:
        for hit in rule.check(subject):
            place = subject.document.place(hit.pointer, of_key=hit.of_key) or (line, 1)
            seen = (name, *place, rule.code, rule.severity, hit.pointer, hit.what, hit.fix)
            found.append(Finding(*seen))
    return sorted(found)


def unreadable(error: BadJson, *, name: str) -> Finding:
    """Return the finding for a file that is not a document; it cannot be ignored."""
    rule, what = RULES["EPM000"], f"this is not a job document: {error.why}"
    pointer = error.pointer[:100]
    return Finding(name, *error.place, rule.code, rule.severity, pointer, what, error.fix)


def _codes(given: Iterable[str]) -> set[str]:
    codes = {code.strip().upper() for text in given for code in text.split(",") if code.strip()}
    for code in sorted(codes - RULES.keys()):
        raise UnknownCode(code)
    return codes


_HEAD: Final = """\
# Lints of job documents

`epm-task validate PATH…` looks for these in job documents, in folders of them, and in what a
Python file declares. `epm-task explain CODE` shows one page. This file is written by
`epm-task explain --markdown`; do not edit it.

Ignore a rule that does not fit with `--ignore EPM012`, or for a project in its `pyproject.toml`:

```toml
[tool.epm-task]
ignore = ["EPM012"]
tasks = ["tasks.py"]  # imported: EPM016 and EPM026 compare documents with the code
```

Levels: `error`, the agent refuses the job or the job can do nothing; `warning`, it rarely does
what is meant. Both make the exit code 1. `info` is worth knowing, and leaves the exit code 0.

"""


def page(rule: Rule) -> str:
    """Return the page of one rule, for a terminal."""
    return f"{rule.code}: {rule.title} ({rule.severity})\n\n{rule.page}\n"


def overview() -> str:
    """Return one line for each rule."""
    return "".join(f"{rule.code}  {rule.severity:<8} {rule.title}\n" for rule in RULES.values())


def markdown() -> str:
    """Return all pages as one Markdown document."""
    rows = [f"| [{r.code}](#{r.code.lower()}) | {r.severity} | {r.title} |" for r in RULES.values()]
    table = "\n".join(["| code | level | what |", "|---|---|---|", *rows])
    pages = [
        f"## {r.code}\n\n**{r.title[:1].upper()}{r.title[1:]}.**\n\n{r.page}\n"
        for r in RULES.values()
    ]
    return f"{_HEAD}{table}\n\n" + "\n".join(pages)


#: The format in which code hosts and editors take findings (OASIS, version 2.1.0).
_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

#: What SARIF calls a level; the others have the same name.
_LEVELS: Final = {"info": "note"}


def sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the SARIF log of one run; its columns count characters."""
    driver = {
        "name": "epm-task",
        "semanticVersion": __version__,
        "informationUri": __homepage__,
        "rules": [
            {
                "id": rule.code,
                "shortDescription": {"text": rule.title},
                "fullDescription": {"text": rule.page.partition("\n")[0]},
                "help": {"text": rule.page, "markdown": rule.page},
                "helpUri": f"{__homepage__}/blob/main/docs/lints.md#{rule.code.lower()}",
                "defaultConfiguration": {"level": _LEVELS.get(rule.severity, rule.severity)},
            }
            for rule in RULES.values()
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding) for finding in findings],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding) -> dict[str, Any]:
    # A name that is not UTF-8 holds surrogates, which stand for its bytes.
    path = finding.file.replace("\\", "/")
    uri = quote(path, safe="/:.-_~", errors="surrogateescape")
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": uri},
            "region": {"startLine": finding.line, "startColumn": finding.column},
        }
    }
    if finding.pointer:
        location["logicalLocations"] = [{"fullyQualifiedName": printable(finding.pointer)}]
    index = {"ruleIndex": list(RULES).index(finding.code)} if finding.code in RULES else {}
    return {
        "ruleId": finding.code,
        **index,
        "level": _LEVELS.get(finding.severity, finding.severity),
        "message": {"text": printable(f"{finding.what}; {finding.fix}")},
        "locations": [location],
    }
