"""`epm-task verify` starts a program as an agent would, and proves that it behaves as it must."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from epm_task.cli.options import read_settings
from epm_task.cli.output import Failure, report
from epm_task.errors import sentence
from epm_task.freeze import FreezeError


def verify(  # noqa: PLR0913  # each is an option of the command line
    program: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="An executable, or its folder.", show_default=False),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGS]", help="Arguments of the task.", show_default=False),
    ] = None,
    *,
    source: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The task file, to compare the start-up times."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="PLUGIN.key=value", help="A setting; repeatable."),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help='JSON: {"Plugin": {"key": "value"}}.')
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")
    ] = False,
) -> int:
    """Start an executable under an agent in a box, and check what an agent expects of a task.

    Its PID is kept, it is registered, its records are acknowledged, stdout is a JSON object or
    nothing, it ends with 0, it stops on SIGTERM, it writes nothing. Exit 1 when a check fails.

    Example: epm-task verify dist/Jobs/bin/KeyScanner -- --root .
    """
    from epm_task.freeze.installed import read_installed  # noqa: PLC0415  # the other verbs' start
    from epm_task.freeze.verifying import verify as look_at  # noqa: PLC0415

    if source is not None and not source.is_file():
        raise Failure(f"--source {source} is no file", "give the task file")
    try:
        found = read_installed(program)
        checks = look_at(
            found,
            arguments=arguments or (),
            settings=read_settings(settings, setting or ()),
            source=source,
        )
    except FreezeError as error:
        raise Failure(sentence(error.what, error.why), error.fix) from error
    return report(str(found.executable), checks, as_json=as_json)


def verify_install(
    program: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="An executable, or its folder.", show_default=False),
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")
    ] = False,
) -> int:
    """Compare the files of an installed program with its manifest; check owner and modes.

    Run it as the account that the agent runs as. Exit 1 when a check fails.

    Example: epm-task verify-install /opt/KeeperPrivilegeManager/Jobs/bin/KeyScanner
    """
    from epm_task.freeze.installed import (  # noqa: PLC0415  # the other verbs' start
        check_install,
        read_installed,
    )

    try:
        found = read_installed(program)
        checks = check_install(found)
    except FreezeError as error:
        raise Failure(sentence(error.what, error.why), error.fix) from error
    return report(str(found.executable), checks, as_json=as_json)
