"""Build executables of tasks in the agent's layout, and check them: freeze and the two verify."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epm_task.cli.inputs import one_of, project_tasks, read_settings, split_target
from epm_task.cli.interruption import stop_signals_to
from epm_task.cli.options import AsJson, Setting, Settings, TaskArguments
from epm_task.cli.output import FAILED, Failure, say, show_json, table
from epm_task.cli.steps import Steps
from epm_task.freeze import FreezeError
from epm_task.freeze.installed import Check, check_install, passed, read_installed
from epm_task.freeze.program import read_programs
from epm_task.freeze.verifying import verify as check

if TYPE_CHECKING:
    from types import FrameType

    from epm_task.freeze.freezing import Backend, Frozen

_BACKENDS: tuple[Backend, ...] = ("pyinstaller", "zipapp")
_Program = Annotated[
    Path, typer.Argument(metavar="PATH", help="An executable, or its folder.", show_default=False)
]
_StartTolerance = Annotated[
    float | None,
    typer.Option(
        metavar="TIMES",
        min=0.1,
        help="Fail when a start takes so many times that of the source; else 1.5 is a warning.",
    ),
]


def freeze(  # noqa: PLR0913  # each is an option of the command line
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE[:TASK]] … [-- ARGS]",
            help="Files with tasks, else the project's own. ARGS are for --verify.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where Jobs/ is made.")
    ] = Path("dist"),
    command: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another name for the executable.")
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            metavar="pyinstaller|zipapp", help="zipapp: for endpoints with their own Python."
        ),
    ] = "pyinstaller",
    python: Annotated[
        str, typer.Option(metavar="PATH", help="The endpoint's interpreter, for zipapp.")
    ] = "/usr/bin/python3",
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="A module that is imported by name; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="A module to leave out; repeatable.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH=FOLDER", help="A file to take along; repeatable."),
    ] = None,
    sign_command: Annotated[
        str | None,
        typer.Option(metavar='"… {path} …"', help="Run on each library, then the executable."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Start the result as an agent would, and check it.")
    ] = False,
    start_tolerance: _StartTolerance = None,
    setting: Setting = None,
    onefile: Annotated[
        bool, typer.Option("--onefile", hidden=True, help="Refused: the agent trusts one PID.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Make an executable of a task: Jobs/bin/NAME/NAME, its job document, manifest and SBOM.

    Example: epm-task freeze examples/key_scanner.py --verify -- --root .
    """
    from epm_task.freeze.freezing import FreezeOptions  # noqa: PLC0415  # cyclonedx: 100 ms
    from epm_task.freeze.freezing import freeze as build  # noqa: PLC0415

    if start_tolerance and not verify:
        raise Failure("--start-tolerance compares nothing", fix="give --verify too")
    files, arguments = before_and_after(targets or [])
    more: dict[str, Any] = {
        "include": tuple(include or ()),
        "exclude": tuple(exclude or ()),
        "data": tuple(map(data_pair, data or ())),
    }
    kind = one_of("--backend", backend, _BACKENDS)
    options = FreezeOptions(output, kind, python, sign_command, onefile)
    given = read_settings(None, setting or ())
    results: list[tuple[Frozen, list[Check]]] = []
    try:
        # So that what a build made aside is removed; a signing tool may ask for a PIN.
        with stop_signals_to(_unwind), Steps(live=not sign_command) as steps:
            for file, names in files_and_tasks(files or map(str, project_tasks())).items():
                for program in read_programs(file, names, command=command):
                    steps.say(f"building {program.command} from {file}")
                    steps.progress(0, None, f"building {program.command}")
                    frozen = build(replace(program, **more), options, steps.progress)
                    checks: list[Check] = []
                    if verify:
                        steps.say(f"verifying {frozen.executable}")
                        built = read_installed(frozen.folder)
                        checks = check(
                            built,
                            arguments=arguments,
                            settings=given,
                            source=file,
                            start_tolerance=start_tolerance,
                            tell=steps.progress,
                        )
                    results.append((frozen, checks))
    except FreezeError as error:
        raise Failure(error.what, error.why, error.fix, exit_code=FAILED) from error
    return _report(results, as_json=as_json)


def _unwind(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _report(results: Sequence[tuple[Frozen, list[Check]]], *, as_json: bool) -> int:
    good = all(passed(checks) for _, checks in results)
    if as_json:
        programs = [_facts(*result) for result in results]
        show_json({"passed": good, "programs": programs})
        return 0 if good else FAILED
    for frozen, checks in results:
        if checks:
            typer.echo(_check_table(checks))
        signed = f", {frozen.signed} files signed" if frozen.signed else ""
        typer.echo(f"{frozen.executable} ({frozen.size_bytes / 1e6:.1f} MB{signed})")
        for job in frozen.jobs:
            typer.echo(str(job))
        for name in frozen.missing:
            say(f"warning: {name} is imported but not installed; the program is without it")
    return 0 if good else FAILED


def _facts(frozen: Frozen, checks: list[Check]) -> dict[str, Any]:
    return {
        "executable": str(frozen.executable),
        "jobs": [str(job) for job in frozen.jobs],
        "size_bytes": frozen.size_bytes,
        "signed": frozen.signed,
        "missing": list(frozen.missing),
        **_check_facts(checks),
    }


def before_and_after(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the targets, and the arguments of the task; those begin with a hyphen."""
    first = next((n for n, text in enumerate(given) if text.startswith("-")), len(given))
    return list(given[:first]), list(given[first:])


def files_and_tasks(targets: Iterable[str]) -> dict[Path, list[str]]:
    """Return the tasks that are named of each file; an empty list means all of them.

    Raises:
        Failure: The file does not exist.
    """
    found: dict[Path, list[str]] = {}
    for target in targets:
        path, name = split_target(target)
        found.setdefault(path, []).extend([name] if name else [])
    return found


def data_pair(text: str) -> tuple[Path, str]:
    """Return file and folder of `PATH=FOLDER`; without `=` it goes to the top.

    Raises:
        Failure: The file does not exist.
    """
    name, _, folder = text.partition("=")
    path = Path(name)
    if not path.exists():
        raise Failure(f"--data {name} is not there", fix="write PATH=FOLDER")
    if Path(folder).anchor or ".." in Path(folder).parts:  # /x and C:x are not absolute on Windows
        raise Failure(f"--data {text} leads out of the program", fix="name a folder inside of it")
    return path, folder or "."


def verify(  # noqa: PLR0913  # each is an option of the command line
    program: _Program,
    arguments: TaskArguments = None,
    *,
    source: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The task file, to compare the start-up times."),
    ] = None,
    start_tolerance: _StartTolerance = None,
    setting: Setting = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Start an executable under an agent in a box, and check what an agent expects of a task.

    Its PID is kept, it is registered, its records are acknowledged, stdout is a JSON object or
    nothing, it ends with 0, it stops on SIGTERM, it writes nothing. Exit 1 when a check fails.

    Example: epm-task verify dist/Jobs/bin/KeyScanner -- --root .
    """
    if source is not None and not source.is_file():
        raise Failure(f"--source {source} is not a file", fix="give the task file")
    if start_tolerance and source is None:
        raise Failure("--start-tolerance compares nothing", fix="give the task file with --source")
    found = read_installed(program)
    given = read_settings(settings, setting or ())
    with stop_signals_to(_unwind), Steps() as steps:
        checks = check(
            found,
            arguments=arguments or (),
            settings=given,
            source=source,
            start_tolerance=start_tolerance,
            tell=steps.progress,
        )
    return _report_checks(found.executable, checks, as_json=as_json)


def verify_install(program: _Program, *, as_json: AsJson = False) -> int:
    """Compare the files of an installed program with its manifest; check owner and modes.

    Run it as the account that the agent runs as. Exit 1 when a check fails.

    Example: epm-task verify-install /opt/KeeperPrivilegeManager/Jobs/bin/KeyScanner
    """
    found = read_installed(program)
    return _report_checks(found.executable, check_install(found), as_json=as_json)


def _report_checks(executable: Path, checks: Sequence[Check], *, as_json: bool) -> int:
    """Show the checks on stdout; return 0, or 1 when one has failed."""
    if as_json:
        show_json({"program": str(executable), **_check_facts(checks)})
    else:
        typer.echo(_check_table(checks))
    return 0 if passed(checks) else FAILED


def _check_facts(checks: Sequence[Check]) -> dict[str, Any]:
    return {"passed": passed(checks), "checks": [check._asdict() for check in checks]}


def _check_table(checks: Sequence[Check]) -> str:
    rows = [(check.name, check.state, check.detail) for check in checks]
    return table(("check", "state", "what was seen"), rows)
