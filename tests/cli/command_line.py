"""A command line is run inside the test process, through the real entry point."""

from __future__ import annotations

import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any, NamedTuple
from unittest.mock import patch

from typer.main import get_command

from epm_task.cli.main import main
from epm_task.cli.verbs import app, load


class Finished(NamedTuple):
    """What a command left behind."""

    exit_code: int
    out: str
    err: str


def epm_task(*words: object) -> Finished:
    """Run `epm-task` with these words; stdin is not a terminal."""
    argv = ["epm-task", *map(str, words)]
    with (
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as err,
        patch.object(sys, "argv", argv),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return Finished(int(code or 0), out.getvalue(), err.getvalue())


def loaded() -> Any:
    """Return the command line with all of its verbs loaded."""
    group: Any = get_command(app)
    group.commands = {verb: load(verb) for verb in group.commands}
    return group
