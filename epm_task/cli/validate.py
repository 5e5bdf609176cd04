"""`epm-task validate` looks for what goes wrong with job documents before an agent sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeAlias

import typer

from epm_task.admin.client import live_verdict
from epm_task.cli.connection import Connection, connected
from epm_task.cli.options import declared_in, read_job
from epm_task.cli.output import FAILED, Failure
from epm_task.contract.record import printable
from epm_task.job.document import JobDocument
from epm_task.job.json_source import BadSource
from epm_task.job.linter import (
    BadLintSettings,
    LintSettings,
    UnknownCode,
    choose,
    find_settings,
    lint,
    markdown,
    overview,
    page,
    unreadable,
)
from epm_task.job.rule import Finding
from epm_task.job.rules import RULES
from epm_task.job.sarif import sarif
from epm_task.job.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from epm_task.admin.client import AdminClient
    from epm_task.job.job import Job
    from epm_task.job.rule import Severity


class LintTarget(NamedTuple):
    """One document to inspect.

    Attributes:
        name: The file, as it was given.
        settings: What the project of the file says.
        subject: The document; None when the file holds none.
        broken: Why it holds none.
        line: Where to point when the document comes from code.
    """

    name: str
    settings: LintSettings
    subject: Subject | None
    broken: Finding | None = None
    line: int = 1


Inspector: TypeAlias = Callable[[LintTarget], list[Finding]]


def lint_targets(paths: Iterable[Path]) -> list[LintTarget]:
    """Return the documents in files, in the folders `Jobs/`, and in the code of Python files.

    Raises:
        Failure: A path is absent or holds no document, or code cannot be imported.
    """
    files = [file for path in paths for file in _files(path)]
    code = _Code()
    for file in files:
        if file.suffix == ".py":
            code.add(file)
    return [target for file in files for target in _targets(file, code)]


class _Code:
    """The jobs in code, by id; each file is imported once."""

    def __init__(self) -> None:
        self._by_file: dict[Path, list[Job]] = {}
        self.jobs: dict[str, Job] = {}

    def add(self, file: Path) -> list[Job]:
        """Import the file unless that is done, and return its jobs."""
        file = file.resolve()
        if file not in self._by_file:
            self._by_file[file] = declared_in(file).all_jobs()
            for job in self._by_file[file]:
                self.jobs.setdefault(job.id, job)
        return self._by_file[file]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.json"))
        if not found:
            raise Failure(f"{path} holds no job documents", "give a folder with *.json files")
        return found
    if not path.exists():
        raise Failure(f"there is no file {path}", "give job documents, folders, or Python files")
    return [path]


def _targets(file: Path, code: _Code) -> Iterator[LintTarget]:
    try:
        settings = find_settings(file)
    except BadLintSettings as error:
        raise Failure(str(error), "correct the file") from error
    for tasks in settings.tasks:
        if not tasks.is_file():
            raise Failure(f"there is no file {tasks}", "correct tasks in [tool.epm-task]")
        code.add(tasks)
    if file.suffix == ".py":
        jobs = code.add(file)
        if not jobs:
            raise Failure(f"{file} holds no task", "decorate a function of it with @task")
        for job in jobs:
            line = job.tasks[0].handler.function.__code__.co_firstlineno
            yield LintTarget(str(file), settings, Subject(JobDocument(job.document())), line=line)
    else:
        yield _from_file(file, settings, code)


def _from_file(file: Path, settings: LintSettings, code: _Code) -> LintTarget:
    try:
        document = read_job(file)
    except BadSource as error:
        return LintTarget(str(file), settings, None, unreadable(error, name=str(file)))
    job = code.jobs.get(str(document.raw.get("id")))
    neighbours = frozenset(other.stem for other in file.absolute().parent.glob("*.json"))
    subject = Subject(document, file=file.absolute(), job=job, neighbours=neighbours)
    return LintTarget(str(file), settings, subject)


#: What looks at one document; with `--live` there is one more of them, which asks an agent.


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


#: Stands where the code of a rule stands; the agent's own words have none.
AGENT: Final = "AGENT"


def live_inspector(admin: AdminClient) -> Callable[[LintTarget], list[Finding]]:
    """Return what asks the agent about one document; nothing is stored there.

    It raises AdminError when the agent cannot be asked.
    """

    def inspect(target: LintTarget) -> list[Finding]:
        if target.subject is None:
            return []
        verdict = live_verdict(admin, target.subject.document.raw)
        refusals = [
            _finding(target, "error", f"the agent refuses the job: {error}")
            for error in verdict.errors
        ]
        doubts = [
            _finding(target, "warning", f"the agent takes the job, and says: {warning}")
            for warning in verdict.warnings
        ]
        return refusals + doubts

    return inspect


def _finding(target: LintTarget, severity: Severity, what: str) -> Finding:
    fix = "correct the document; the agent's own files, such as the binary, must be in place"
    return Finding(target.name, target.line, 1, AGENT, severity, "", what, fix)


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
