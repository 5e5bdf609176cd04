"""Runs command lines in processes that have imported all, so that a kill meets the work.

It reads one JSON object per line, `{"words": […], "folder": …, "output": FILE}`. A child is forked
for each, and its PID and then its exit code are printed; on Windows the process itself becomes the
command.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from epm_task.cli.main import main
from epm_task.cli.verbs import load


def become(asked: dict[str, Any]) -> None:
    """Run a command line, and end with it."""
    os.chdir(asked["folder"])
    binary = getattr(os, "O_BINARY", 0)
    output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | binary)
    for stream in (1, 2):
        os.dup2(output, stream)
    sys.argv = ["epm-task", *asked["words"]]
    main()


load("deploy")  # else each child would import it
for line in sys.stdin:
    pid = os.fork() if sys.platform != "win32" else 0
    if pid == 0:
        become(json.loads(line))
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
