"""Runs command lines in forked children, so that a kill meets the work and not the imports.

It reads one JSON object per line, `{"words": […], "folder": …, "output": FILE}`, and prints the
child's PID and then its exit code.
"""

from __future__ import annotations

import json
import os
import sys

from epm_task.cli.main import main
from epm_task.cli.verbs import load

load("deploy")  # else each child would import it
for line in sys.stdin:
    asked = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.chdir(asked["folder"])
        output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        sys.argv = ["epm-task", *asked["words"]]
        main()
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
