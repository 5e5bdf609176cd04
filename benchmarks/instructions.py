"""Instructions that a start costs, counted by valgrind: they repeat where wall-clock times do not.

Each program imports what its line names, then leaves by `os._exit`. With `--budget` the exit code
is 1 when one of ours is above its budget.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

FLOOR = "import ssl, http.client, json, logging"
SLIM = "from epm_task.runtime.start_up import slim_import\nwith slim_import({!r}): import {}"
LIBRARIES = ("httpx", "paho.mqtt.client", "structlog", "pydantic_settings")
SPINE = """from epm_task import TaskContext, task
import epm_task.runtime.program
with epm_task.runtime.start_up.collector_paused():
    import epm_task.runtime.spine, epm_task.runtime.broker.delivery
"""
PROGRAMS = {
    "bare": "",
    "stdlib floor": FLOOR,
    **{f"{name} alone": f"import {name}" for name in LIBRARIES},
    **{f"{name}, slim": SLIM.format(name.partition(".")[0], name) for name in LIBRARIES},
    "spine": SPINE,
    "spine, typed settings": "from epm_task import TaskSettings\n" + SPINE,
    "spine, state": SPINE + "import epm_task.runtime.state, epm_task.trust",
}
#: Millions, on Linux with Python 3.11; what is above says that a start has become slower.
BUDGET = {"spine": 395, "spine, typed settings": 740}


def millions(program: str, cache: str) -> float:
    """Return how many million instructions the program takes, with its bytecode in the cache."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", f"{program}\nimport os; os._exit(0)"]
    subprocess.run(command, env=environment, check=True)
    counting = [
        "valgrind",
        "--tool=cachegrind",
        "--cache-sim=no",
        "--cachegrind-out-file=/dev/null",
    ]
    counted = subprocess.run(
        [*counting, *command], env=environment, capture_output=True, text=True, check=True
    )
    refs = re.search(r"I\s+refs:\s+([\d,]+)", counted.stderr)
    assert refs, counted.stderr
    return int(refs[1].replace(",", "")) / 1e6


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", action="store_true", help="fail above the budget")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="only these of the table")
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed, so nothing was counted (Debian: apt install valgrind)")
        return 0
    over = []
    print(f"{'M instructions':>14}  {'÷ floor':>7}  program")
    with tempfile.TemporaryDirectory() as cache:
        floor = millions(PROGRAMS["stdlib floor"], cache)
        for name in arguments.programs or PROGRAMS:
            count = millions(PROGRAMS[name], cache)
            budget = BUDGET.get(name)
            note = f" (budget {budget})" if budget else ""
            print(f"{count:14.1f}  {count / floor:7.2f}  {name}{note}", flush=True)
            if budget and count > budget:
                over.append(name)
    return int(arguments.budget and bool(over))


if __name__ == "__main__":
    sys.exit(main())
