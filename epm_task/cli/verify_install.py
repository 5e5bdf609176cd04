"""`epm-task verify-install` compares an installed program with its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from epm_task.cli.check_report import report
from epm_task.cli.failure import Failure


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
    from epm_task.freeze.freeze_error import FreezeError  # noqa: PLC0415  # the other verbs' start
    from epm_task.freeze.install_check import check_install  # noqa: PLC0415
    from epm_task.freeze.installed import read_installed  # noqa: PLC0415

    try:
        found = read_installed(program)
        checks = check_install(found)
    except FreezeError as error:
        raise Failure(error.what, error.fix) from error
    return report(str(found.executable), checks, as_json=as_json)
