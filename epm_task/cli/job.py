"""`epm-task job`, `validate` and `explain`: write job documents from code, and check them."""

from __future__ import annotations

import json
from contextlib import nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeAlias

import typer

from epm_task.admin.client import live_verdict
from epm_task.cli.inputs import declared_in, job_of, one_of, project_tasks
from epm_task.cli.options import AsJson, Connection, connected
from epm_task.cli.output import FAILED, Failure, counted, say, show_json, write, write_file
from epm_task.contract.json_text import BadJson, encoded, write_json
from epm_task.contract.names import OS_NAMES
from epm_task.contract.record import printable
from epm_task.files import documents
from epm_task.job.document import JobDocument, read_job, read_present
from epm_task.job.linter import choose, lint, markdown, overview, page, sarif, unreadable
from epm_task.job.merge import Drift, drift
from epm_task.job.project import ProjectSettings, read_project
from epm_task.job.rule import Finding, Severity
from epm_task.job.rules import RULES
from epm_task.job.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from epm_task.admin.client import AdminClient
    from epm_task.job.job import Job

_Targets = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILE[:TASK] …", help="Files with tasks or a Job.", show_default=False),
]
_Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write there: Jobs/{id}.json, or a folder."
    ),
]
_Check = Annotated[
    bool,
    typer.Option("--check", help="Compare with the file of -o, else Jobs/{id}.json; 1: drift."),
]
_Systems = Annotated[
    list[str] | None,
    typer.Option("--os", metavar="|".join(OS_NAMES), help="Only on this system; repeatable."),
]
_AgentRoot = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Write executablePath too, as --os spells paths."),
]
_Schema = Annotated[
    bool, typer.Option("--schema", help="The JSON Schema of job documents, for editors.")
]


def job(  # noqa: PLR0913  # each is an option of the command line
    targets: _Targets = None,
    *,
    output: _Output = None,
    check: _Check = False,
    systems: _Systems = None,
    agent_root: _AgentRoot = None,
    schema: _Schema = False,
    as_json: AsJson = False,
) -> int:
    """Write the job document that the code declares, on stdout unless -o names a file.

    A file that is there is merged with: unknown fields, `condition` and other things that the code
    does not state are kept. Without a file, it is about the `tasks` in [tool.epm-task] of the
    project, each with a job of its own.

    Example: epm-task job examples/key_scanner.py -o Jobs/key-scanner.json
    """
    if schema:
        from epm_task.job.model import job_schema  # noqa: PLC0415  # pydantic: 60 ms

        typer.echo(json.dumps(job_schema(), indent=2))
        return 0
    wanted = [targets] if targets else [[str(path)] for path in project_tasks()]
    jobs = [job_of(each) for each in wanted]
    chosen = [one_of("--os", name, OS_NAMES) for name in systems or ()]
    built = [one.document(systems=chosen, agent_root=agent_root) for one in jobs]
    return max(_answer(one, output, check=check, as_json=as_json) for one in built)


def _answer(built: dict[str, Any], output: Path | None, *, check: bool, as_json: bool) -> int:
    if output is None and not check:
        if as_json:
            show_json({"document": built})
        else:
            write(write_json(built))
        return 0
    file = _file(output, built["id"])
    try:
        present = read_present(file)
    except BadJson as error:
        raise Failure(error.what, error.why, error.fix, exit_code=FAILED) from error
    found = drift(present, built, str(file))
    if check:
        return _checked(file, present, found, as_json=as_json)
    change = "created" if present is None else "updated" if found.diff else "unchanged"
    if change != "unchanged":
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, encoded(found.text))
    if as_json:
        answer = {"file": str(file), "change": change, "diff": found.diff}
        show_json({**answer, "document": found.document})
    else:
        say(f"{file}: {change}")
    return 0


def _file(output: Path | None, job_id: str) -> Path:
    if output is None:
        return Path("Jobs") / f"{job_id}.json"
    is_file = output.is_file() or output.suffix == ".json"
    return output if is_file else output / f"{job_id}.json"


def _checked(file: Path, present: JobDocument | None, found: Drift, *, as_json: bool) -> int:
    drifted = present is None or bool(found.diff)
    if as_json:
        show_json({"file": str(file), "drift": drifted, "diff": found.diff})
    elif present is None:
        say(f"{file} is missing; write it with -o {file}")
    elif drifted:
        write(encoded(found.diff))
        say(f"{file} differs from the code; write it anew with -o {file}")
    else:
        say(f"{file} says what the code says")
    return FAILED if drifted else 0


#: In the place of a rule's code; what the agent itself says has none.
AGENT: Final = "AGENT"
#: The jobs in Python files; each file is imported once.
_Code: TypeAlias = "dict[Path, list[Job]]"


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
        list[str] | None, typer.Option(metavar="CODES", help="Not these rules; repeatable.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Add the verdict of a running agent; see `jobs`.")
    ] = False,
    as_json: AsJson = False,
    as_sarif: Annotated[
        bool, typer.Option("--sarif", help="A SARIF 2.1.0 log on stdout, for code hosts.")
    ] = False,
) -> int:
    """Check job documents: exit 0 when nothing but notes is found, else 1, 2 on wrong use.

    `epm-task explain CODE` says more about a finding.

    Example: epm-task validate Jobs/ tasks.py
    """
    targets = lint_targets(paths, admin=live)
    found: set[Finding] = set()
    with connection.client() if live else nullcontext() as admin:
        for target in targets:
            found |= set(_findings(target, select or (), ignore or (), admin))
    findings = sorted(found)
    refused = [finding for finding in findings if finding.severity != "info"]
    if as_sarif:
        show_json(sarif(findings))
    elif as_json:
        facts = [finding._asdict() for finding in findings]
        show_json({"valid": not refused, "documents": len(targets), "findings": facts})
    else:
        for finding in findings:
            typer.echo(printable(str(finding)))
        say(_summary(targets, findings))
    return FAILED if refused else 0


def _findings(
    target: LintTarget, select: Sequence[str], ignore: Sequence[str], admin: AdminClient | None
) -> list[Finding]:
    """Return what the rules, and with an *admin* the agent, find in one document.

    The command line's selection replaces that of the project.
    """
    project = target.settings
    rules = choose(select or project.select, [*ignore, *project.ignore])
    if isinstance(target.content, Finding):
        return [target.content]
    found = lint(target.content, rules, name=target.name, line=target.line)
    if admin:
        found += _of_the_agent(target, target.content.document.raw, admin)
    return found


def _of_the_agent(
    target: LintTarget, document: dict[str, Any], admin: AdminClient
) -> Iterator[Finding]:
    verdict = live_verdict(admin, document)
    said: list[tuple[Severity, str]] = [
        *(("error", f"the agent refuses the job: {error}") for error in verdict.errors),
        *(("warning", f"the agent takes the job, and says: {w}") for w in verdict.warnings),
    ]
    fix = "correct the document; the agent's own files, such as the binary, must be in place"
    for severity, what in said:
        yield Finding(target.name, target.line, 1, AGENT, severity, "", what, fix)


def _summary(targets: Sequence[LintTarget], findings: Sequence[Finding]) -> str:
    documents = counted(len(targets), "document")
    if not findings:
        return f"{documents} checked, nothing found"
    files = len({finding.file for finding in findings})
    return (
        f"{documents} checked, {counted(len(findings), 'finding')} in {counted(files, 'file')}; "
        "epm-task explain CODE says more"
    )


class LintTarget(NamedTuple):
    """One document, or the finding that the file holds none; *line* is its place in code."""

    name: str
    settings: ProjectSettings
    content: Subject | Finding
    line: int = 1


def lint_targets(paths: Iterable[Path], *, admin: bool = False) -> list[LintTarget]:
    """Return the documents in files, in the folders `Jobs/`, and in the code of Python files.

    Raises:
        Failure: A path is absent or holds no document.
        TaskFileError: Code cannot be imported.
        BadProject: The pyproject.toml around a file cannot be used.
        UnsafeConfiguration: Code is of a user who is not trusted; see `job/project.py`.
    """
    files = [file for path in paths for file in _files(path)]
    code: _Code = {}
    for file in files:
        if file.suffix == ".py":
            _jobs_in(file, code, admin=admin)
    return [target for file in files for target in _targets(file, code, admin=admin)]


def _jobs_in(file: Path, code: _Code, *, admin: bool) -> list[Job]:
    file = file.resolve()
    if file not in code:
        code[file] = declared_in(file, admin=admin).all_jobs()
    return code[file]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = documents(path)
        if not found:
            raise Failure(f"{path} holds no job documents", fix="give a folder with *.json files")
        return found
    if not path.exists():
        raise Failure(f"{path} does not exist", fix="give job documents, folders, or Python files")
    return [path]


def _targets(file: Path, code: _Code, *, admin: bool) -> Iterator[LintTarget]:
    settings = read_project(file.absolute().parent, admin=admin)
    for tasks in settings.tasks:
        if not tasks.is_file():
            raise Failure(f"{tasks} does not exist", fix="correct tasks in [tool.epm-task]")
        _jobs_in(tasks, code, admin=admin)
    if file.suffix == ".py":
        jobs = _jobs_in(file, code, admin=admin)
        if not jobs:
            raise Failure(f"{file} holds no task", fix="decorate a function of it with @task")
        for job in jobs:
            line = job.tasks[0].handler.function.__code__.co_firstlineno
            yield LintTarget(str(file), settings, Subject(JobDocument(job.document())), line=line)
    else:
        yield _from_file(file, settings, code)


def _from_file(file: Path, settings: ProjectSettings, code: _Code) -> LintTarget:
    try:
        document = read_job(file)
    except BadJson as error:
        return LintTarget(str(file), settings, unreadable(error, name=str(file)))
    known = {job.id: job for jobs in reversed(code.values()) for job in reversed(jobs)}
    job = known.get(str(document.raw.get("id")))
    neighbours = frozenset(other.stem for other in documents(file.absolute().parent))
    subject = Subject(document, file=file.absolute(), job=job, neighbours=neighbours)
    return LintTarget(str(file), settings, subject)


def explain(
    code: Annotated[
        str | None,
        typer.Argument(metavar="[CODE]", help="Such as EPM003; none: all.", show_default=False),
    ] = None,
    *,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="All pages in Markdown, as docs/lints.md has them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Explain a finding of `epm-task validate`; without a code, list all of them.

    Example: epm-task explain EPM003
    """
    if code is not None and code.upper() not in RULES:
        near = get_close_matches(code.upper(), RULES, 1) or ["EPM003"]
        raise Failure(
            f"no rule has the code {code}", fix=f"`epm-task explain` lists them; perhaps {near[0]}"
        )
    chosen = list(RULES.values()) if code is None else [RULES[code.upper()]]
    if as_json:
        rows = [
            {"code": r.code, "title": r.title, "severity": r.severity, "page": r.page}
            for r in chosen
        ]
        show_json({"rules": rows})
    elif as_markdown:
        typer.echo(markdown(), nl=False)
    else:
        typer.echo(overview() if code is None else page(chosen[0]), nl=False)
