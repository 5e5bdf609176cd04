"""`epm-task explain` shows the page of a rule for job documents."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Annotated

import typer

from epm_task.cli.failure import Failure
from epm_task.job.lint_pages import markdown, overview, page
from epm_task.job.rules import RULES


def explain(
    code: Annotated[
        str | None,
        typer.Argument(metavar="[CODE]", help="Such as EPM003; none: all.", show_default=False),
    ] = None,
    *,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="All pages in Markdown, as docs/lints.md has them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Explain a finding of `epm-task validate`; without a code, list all of them.

    Example: epm-task explain EPM003
    """
    if code is not None and code.upper() not in RULES:
        near = get_close_matches(code.upper(), RULES, 1) or ["EPM003"]
        raise Failure(
            f"there is no rule {code}", f"`epm-task explain` lists them; perhaps {near[0]}"
        )
    chosen = list(RULES.values()) if code is None else [RULES[code.upper()]]
    if as_json:
        rows = [
            {"code": r.code, "title": r.title, "severity": r.severity, "page": r.page}
            for r in chosen
        ]
        typer.echo(json.dumps({"rules": rows}))
    elif as_markdown:
        typer.echo(markdown(), nl=False)
    else:
        typer.echo(overview() if code is None else page(chosen[0]), nl=False)
