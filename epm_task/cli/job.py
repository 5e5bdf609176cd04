"""`epm-task job`: write the job document of one or more tasks, or check the one on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epm_task.cli.inputs import job_of, one_of, project_tasks, read_job
from epm_task.cli.options import AsJson
from epm_task.cli.output import FAILED, Failure, say, show_json, write, write_file
from epm_task.contract.json_text import BadJson
from epm_task.contract.names import OS_NAMES
from epm_task.job.document import encoded, write_document
from epm_task.job.merge import Drift, drift

if TYPE_CHECKING:
    from epm_task.job.document import JobDocument

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
            write(encoded(write_document(built)))
        return 0
    file = _file(output, built["id"])
    present = _present(file)
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


def _present(file: Path) -> JobDocument | None:
    try:
        return read_job(file)
    except FileNotFoundError:
        return None
    except BadJson as error:
        line, column = error.place
        raise Failure(
            f"{file}:{line}:{column}: this is not a job document",
            error.why,
            "correct it, or remove the file and write it anew",
            exit_code=FAILED,
        ) from error


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
