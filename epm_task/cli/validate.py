"""`epm-task validate` looks for what goes wrong with job documents before an agent sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from epm_task.cli.connection import Connection, connected
from epm_task.cli.failure import FAILED, Failure
from epm_task.cli.lint_target import LintTarget, lint_targets
from epm_task.cli.live_inspector import live_inspector
from epm_task.job.finding import Finding
from epm_task.job.linter import UnknownCode, choose, lint
from epm_task.job.sarif import sarif
from epm_task.runtime.record_view import printable

#: What looks at one document; with `--live` there is one more of them, which asks an agent.
Inspector: TypeAlias = Callable[[LintTarget], list[Finding]]


@connected
def validate(  # noqa: PLR0913  # each is an option of the command line
    connection: Connection,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH …",
            help="Job documents, folders of them, Python files.",
            show_default=False,
        ),
    ],
    *,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="CODES", help="Only these rules: EPM003,EPM004; repeatable."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="CODES", help="Not these rules; repeatable."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Add the verdict of a running agent; see `jobs`.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    as_sarif: Annotated[
        bool, typer.Option("--sarif", help="A SARIF 2.1.0 log on stdout, for code hosts.")
    ] = False,
) -> int:
    """Check job documents: exit 0 when nothing is found, 1 when something is, 2 on wrong use.

    `epm-task explain CODE` says more about a finding.

    Example: epm-task validate Jobs/ tasks.py
    """
    targets = lint_targets(paths)
    with ExitStack() as opened:
        inspectors = [_rules_of(select or (), ignore or ())]
        if live:
            inspectors.append(live_inspector(opened.enter_context(connection.client())))
        findings = sorted({f for target in targets for f in _inspected(target, inspectors)})
    if as_sarif:
        typer.echo(json.dumps(sarif(findings)))
    elif as_json:
        typer.echo(json.dumps(_report(targets, findings)))
    else:
        for finding in findings:
            typer.echo(printable(str(finding)))
        typer.echo(_summary(targets, findings), err=True)
    return FAILED if findings else 0


def _inspected(target: LintTarget, inspectors: Sequence[Inspector]) -> list[Finding]:
    if target.broken is not None:
        return [target.broken]
    return [finding for inspector in inspectors for finding in inspector(target)]


def _rules_of(select: Sequence[str], ignore: Sequence[str]) -> Inspector:
    """Return what runs the rules; the command line's selection replaces that of the project."""

    def inspector(target: LintTarget) -> list[Finding]:
        project = target.settings
        try:
            rules = choose(select or project.select, [*ignore, *project.ignore])
        except UnknownCode as error:
            raise Failure(str(error), "correct --select, --ignore or [tool.epm-task]") from error
        if target.subject is None:
            return []
        return lint(target.subject, rules, name=target.name, line=target.line)

    return inspector


def _report(targets: Sequence[LintTarget], findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "valid": not findings,
        "documents": len(targets),
        "findings": [finding.facts() for finding in findings],
    }


def _summary(targets: Sequence[LintTarget], findings: Sequence[Finding]) -> str:
    documents = _counted(len(targets), "document")
    if not findings:
        return f"{documents} checked, nothing found"
    files = len({finding.file for finding in findings})
    return (
        f"{documents} checked, {_counted(len(findings), 'finding')} in {_counted(files, 'file')}; "
        "epm-task explain CODE says more"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
