"""The lint pages are the rules for people: one page in a terminal, or all of them in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from epm_task.job.rules import RULES

if TYPE_CHECKING:
    from epm_task.job.rule import Rule

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
what is meant. Both make the exit code 1.

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
    pages = [f"## {r.code}\n\n**{_sentence(r.title)}**\n\n{r.page}\n" for r in RULES.values()]
    return f"{_HEAD}{table}\n\n" + "\n".join(pages)


def _sentence(title: str) -> str:
    return f"{title[:1].upper()}{title[1:]}."
