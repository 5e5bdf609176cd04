"""`epm-task freeze` makes an executable of a task, in the layout of the agent."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from epm_task.cli import output as check_report
from epm_task.cli.interruption import stop_signals
from epm_task.cli.options import project_tasks, read_settings, split_target
from epm_task.cli.output import FAILED, Failure
from epm_task.errors import sentence
from epm_task.freeze import FreezeError
from epm_task.freeze.installed import Check, passed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import FrameType

    from epm_task.freeze.freezing import Backend, Frozen


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
        list[str] | None,
        typer.Option(metavar="MODULE", help="A module to leave out; repeatable."),
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
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="PLUGIN.key=value", help="A setting for --verify; repeatable."),
    ] = None,
    onefile: Annotated[
        bool, typer.Option("--onefile", hidden=True, help="Refused: the agent trusts one PID.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")
    ] = False,
) -> int:
    """Make an executable of a task: Jobs/bin/NAME/NAME, its job document, manifest and SBOM.

    Example: epm-task freeze examples/key_scanner.py --verify -- --root .
    """
    from epm_task.freeze.freezing import FreezeOptions  # noqa: PLC0415  # the other verbs' start
    from epm_task.freeze.freezing import freeze as build  # noqa: PLC0415
    from epm_task.freeze.program import read_programs  # noqa: PLC0415

    if backend not in {"pyinstaller", "zipapp"}:
        raise Failure(f"--backend {backend} is unknown", "choose pyinstaller or zipapp")
    words, arguments = before_and_after(targets or [])
    pairs = tuple(data_pair(text) for text in data or ())
    kind: Backend = "zipapp" if backend == "zipapp" else "pyinstaller"
    options = FreezeOptions(output, kind, python, sign_command, onefile)
    results: list[Result] = []
    try:
        with _orderly_stop():
            for file, names in files_and_tasks(words or map(str, project_tasks())).items():
                for program in read_programs(file, names, command=command):
                    more = replace(
                        program,
                        include=tuple(include or ()),
                        exclude=tuple(exclude or ()),
                        data=pairs,
                    )
                    typer.echo(f"building {program.command} from {file}", err=True)
                    frozen = build(more, options)
                    checks = _verify(frozen, file, arguments, setting or ()) if verify else []
                    results.append(Result(frozen, checks))
    except FreezeError as error:
        raise Failure(sentence(error.what, error.why), error.fix, exit_code=FAILED) from error
    return _report(results, as_json=as_json)


@contextmanager
def _orderly_stop() -> Iterator[None]:
    """Let SIGTERM and its like unwind the build, so that what it made aside is removed."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Result(NamedTuple):
    """A program that was built, and what `--verify` saw of it."""

    frozen: Frozen
    checks: list[Check]


def _verify(
    frozen: Frozen, file: Path, arguments: Sequence[str], assignments: Sequence[str]
) -> list[Check]:
    from epm_task.freeze.installed import read_installed  # noqa: PLC0415  # aiohttp: 200 ms
    from epm_task.freeze.verifying import verify  # noqa: PLC0415

    typer.echo(f"verifying {frozen.executable}", err=True)
    program = read_installed(frozen.folder)
    settings = read_settings(None, assignments)
    return verify(program, arguments=arguments, settings=settings, source=file)


def _report(results: Sequence[Result], *, as_json: bool) -> int:
    good = all(passed(result.checks) for result in results)
    if as_json:
        programs = [_document(result) for result in results]
        typer.echo(json.dumps({"passed": good, "programs": programs}))
        return 0 if good else FAILED
    for frozen, checks in results:
        if checks:
            check_report.report(str(frozen.executable), checks, as_json=False)
        signed = f", {frozen.signed} files signed" if frozen.signed else ""
        typer.echo(f"{frozen.executable} ({frozen.size_bytes / 1e6:.1f} MB{signed})")
        for job in frozen.jobs:
            typer.echo(str(job))
        for name in frozen.missing:
            typer.echo(f"warning: {name} is imported but not installed; it is not inside", err=True)
    return 0 if good else FAILED


def _document(result: Result) -> dict[str, Any]:
    frozen = result.frozen
    return {
        "executable": str(frozen.executable),
        "jobs": [str(job) for job in frozen.jobs],
        "size_bytes": frozen.size_bytes,
        "signed": frozen.signed,
        "missing": list(frozen.missing),
        **check_report.document(result.checks),
    }


def before_and_after(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the targets, and the arguments of the task; those begin with a hyphen."""
    first = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    return list(words[:first]), list(words[first:])


def files_and_tasks(targets: Iterable[str]) -> dict[Path, list[str]]:
    """Return the tasks that are named of each file; an empty list stands for all of them.

    Raises:
        Failure: There is no such file.
    """
    found: dict[Path, list[str]] = {}
    for target in targets:
        path, name = split_target(target)
        found.setdefault(path, []).extend([name] if name else [])
    return found


def data_pair(text: str) -> tuple[Path, str]:
    """Return file and folder of `PATH=FOLDER`; without `=` it goes to the top.

    Raises:
        Failure: There is no such file.
    """
    name, _, folder = text.partition("=")
    path = Path(name)
    if not path.exists():
        raise Failure(f"--data {name} is not there", "write PATH=FOLDER")
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise Failure(f"--data {text} leads out of the program", "name a folder inside of it")
    return path, folder or "."
