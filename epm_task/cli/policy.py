"""`epm-task deploy policy`: write the policy that carries a job to a fleet, or check one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from epm_task.admin.deploy.plan import Part
from epm_task.admin.deploy.policy import (
    ACTIONS,
    Action,
    Policy,
    make_policy,
    policy_parts,
    read_base,
    read_policy,
)
from epm_task.admin.errors import BadPolicy
from epm_task.cli.deploy import deploy, part_lines
from epm_task.cli.inputs import job_of, one_of, read_documents
from epm_task.cli.options import AsJson, DryRun
from epm_task.cli.output import FAILED, Failure, say, show_json, write, write_file
from epm_task.contract.json_text import encoded
from epm_task.job.merge import merge

Found = TypeVar("Found")

_Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="TARGET…",
        help="Job.json, or FILE.py[:TASK] …; for Delete an id will do.",
        show_default=False,
    ),
]
_Action = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(ACTIONS),
        help="What the agents shall do with the job; else that of the file of -o, else Add.",
    ),
]
_Base = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A policy as `epm policy view --format json` of the vendor dumps it; "
        "all else in it is kept.",
    ),
]
_Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there; else stdout.")
]
_Check = Annotated[
    bool, typer.Option("--check", help="Compare the policy of -o with the job; 1: it differs.")
]


@deploy.command()
def policy(  # noqa: PLR0913  # each is an option of the command line
    targets: _Targets,
    *,
    action: _Action = None,
    base: _Base = None,
    output: _Output = None,
    check: _Check = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Write the JobUpdate policy of a job, as the vendor's policy service takes it.

    The policy holds the job as text. A file of -o that is there is a base too. When the job comes
    from the code, what people have added to the job in the policy is kept, and is not a difference.

    Example: epm-task deploy policy scan.py --base dump.json --action Update -o scan.policy.json
    """
    present = _read(output, read_policy) if output and (check or output.exists()) else None
    before = present.action if present else "Add"
    chosen = one_of("--action", action, ACTIONS) if action else before
    job_id, document = _job(targets, chosen)
    start = _read(base, read_base) if base and not check else present
    if start:
        document = _with_additions(start, document, targets)
    if check:
        if output is None or present is None:
            raise Failure("--check has no policy to look at", fix="name its file with -o")
        parts = policy_parts(present, make_policy(job_id, chosen, document))
        return _show_check(output, parts, as_json=as_json)
    made = make_policy(job_id, chosen, document, start.raw if start else None)
    data = encoded(made.text())
    if output is None or dry_run:
        write(data)
        return 0
    write_file(output, data)
    if as_json:
        show_json({"file": str(output), "jobId": job_id, "action": chosen})
    else:
        say(f"{output}: {chosen} {job_id}")
    return 0


def _job(targets: list[str], action: Action) -> tuple[str, dict[str, Any] | None]:
    """Return the id and, when the action needs it, the document."""
    if len(targets) == 1 and action == "Delete" and not Path(targets[0]).exists():
        if not targets[0].endswith((".json", ".py")):
            return targets[0], None
        raise Failure(f"{targets[0]} does not exist", fix="correct the path, or give the job's id")
    if _is_document(targets):
        ((_, document),) = read_documents([Path(targets[0])])
    else:
        document = job_of(targets).document()
    return str(document.get("id", "")), document


def _is_document(targets: list[str]) -> bool:
    return len(targets) == 1 and targets[0].endswith(".json")


def _with_additions(
    present: Policy, document: dict[str, Any] | None, targets: list[str]
) -> dict[str, Any] | None:
    """Return what the code says, with what only the policy says about the same job."""
    known = present.document
    if document is None or known is None or _is_document(targets):
        return document
    return merge(known, document) if known["id"] == document.get("id") else document


def _show_check(file: Path, parts: list[Part], *, as_json: bool) -> int:
    if as_json:
        found = [part._asdict() for part in parts]
        show_json({"file": str(file), "drift": bool(parts), "parts": found})
    else:
        for line in part_lines(parts):
            typer.echo(line)
        verdict = "differs from the job" if parts else "says what the job says"
        say(f"{file} {verdict}")
    return FAILED if parts else 0


def _read(file: Path, read: Callable[[bytes], Found]) -> Found:
    try:
        return read(file.read_bytes())
    except OSError as error:
        raise Failure(f"{file} cannot be read", error.strerror, "correct the path") from error
    except BadPolicy as error:
        raise BadPolicy(f"{file}: {error.what}", error.why, error.fix) from error
