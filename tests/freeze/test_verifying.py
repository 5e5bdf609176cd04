"""Tests of verifying, with programs that break one rule each."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import pytest
from freeze.building import EXAMPLES, program

from epm_task.freeze.installed import passed, read_installed
from epm_task.freeze.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.freeze.installed import Check

pytestmark = pytest.mark.posix("the programs are texts with a #! line")

HELLO = (EXAMPLES / "hello.py").read_text(encoding="utf-8")
#: In the handler of `hello`, before it returns.
AT_WORK = '    return {"greeting"'

CHILD = """
import subprocess, sys
words = [sys.executable, {hello!r}, *sys.argv[1:], "--registration-timeout=0.3"]
sys.exit(subprocess.run(words).returncode)
"""
#: What a one-file executable does: the same program once more, as a child.
TWICE = """
import os, subprocess, sys
if "AGAIN" not in os.environ:
    words = [sys.executable, *sys.argv, '--registration-timeout=0.3']
    sys.exit(subprocess.run(words, env={**os.environ, "AGAIN": "1"}).returncode)
"""


def _checks(place: Path, *arguments: str) -> dict[str, Check]:
    checks = verify(read_installed(place), arguments=arguments)
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def test_a_plain_python_program_passes(tmp_path: Path) -> None:
    """Ours or not: what counts is how it behaves; a path with blanks does not matter."""
    place = program(tmp_path / "ein Ördner", HELLO)
    checks = _checks(place, "--name=a 'b' \"c\" ü")
    states = {name: check.state for name, check in checks.items()}
    assert states.pop("manifest") == "skipped"
    assert set(states.values()) == {"ok"}, checks
    assert passed(list(checks.values()))


@pytest.mark.parametrize(
    ("tolerance", "states"),
    [(0.1, {"failed"}), pytest.param(None, {"ok", "warning"}, marks=pytest.mark.slow)],
)
def test_a_slow_start_fails_only_when_that_was_asked_for(
    tmp_path: Path, tolerance: float | None, states: set[str]
) -> None:
    """A busy machine does it to a good program."""
    place = program(tmp_path, HELLO)
    source = EXAMPLES / "hello.py"
    told: list[tuple[int, int, str]] = []
    checks = verify(
        read_installed(place),
        source=source,
        start_tolerance=tolerance,
        tell=lambda *what: told.append(what),
    )
    assert told == [(start, 13, f"verifying {place.name}") for start in range(1, 14)]
    (start,) = [check for check in checks if check.name == "start-up"]
    assert start.state in states
    assert "times its source" in start.detail
    assert (tolerance is None) != ("--start-tolerance is 0.1" in start.detail)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (HELLO.replace("from", "import os; os.write(1, b'hi')\nfrom", 1), "stdout", "one JSON"),
        (HELLO.replace(AT_WORK, f"    raise SystemExit(7)\n{AT_WORK}"), "exit code", "7"),
        (
            HELLO.replace(AT_WORK, f"    open('left', 'w').close()\n{AT_WORK}"),
            "files",
            "cwd",
        ),
        (
            HELLO.replace(
                AT_WORK,
                "    import os, tempfile\n    if 'TMPDIR' in os.environ:\n"
                f"        tempfile.TemporaryFile().close()\n{AT_WORK}",
            ),
            "files",
            "tmp",
        ),
        (
            HELLO.replace(
                AT_WORK, f"    import subprocess; subprocess.Popen(['sleep', '60'])\n{AT_WORK}"
            ),
            "processes",
            "left behind",
        ),
        (f"{TWICE}\n{HELLO}", "process", "one-file executable"),
        (CHILD.format(hello=str(EXAMPLES / "hello.py")), "process", "a child of"),
        ("", "process", "never asked"),
        ("raise SystemExit('no agent here')", "registration", "no agent here"),
        ("import time, signal; signal.signal(15, signal.SIG_IGN)", "process", "never asked"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 15 else "",
)
def test_a_broken_rule_is_found(tmp_path: Path, text: str, name: str, words: str) -> None:
    """The check that fails is the right one, and it says why."""
    checks = _checks(program(tmp_path, text))
    assert checks[name].state == "failed", checks
    assert words in checks[name].detail


def test_a_program_that_does_not_stop_is_found(tmp_path: Path) -> None:
    """It is killed, and the answer comes all the same."""
    ignore = "import signal\nsignal.signal = lambda *_: None\nsignal.pthread_sigmask(0, {15})\n"
    checks = _checks(program(tmp_path, f"{ignore}{HELLO}"))
    assert checks["stop"].state == "failed"


def test_a_shell_launcher_that_becomes_the_program_passes(tmp_path: Path) -> None:
    """`exec` keeps the PID; without it the shell would be the process that is trusted."""
    place = program(tmp_path, "")
    words = shlex.join([sys.executable, str(EXAMPLES / "hello.py")])
    launcher = place / "Probe"
    launcher.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    assert _checks(place)["process"].state == "ok"
    launcher.write_text(f'#!/bin/sh\n{words} --registration-timeout=0.3 "$@"\nexit $?\n')
    assert _checks(place)["process"].state == "failed"


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    """With the reason of the agent."""
    place = program(tmp_path, "")
    (place / "Probe").write_bytes(b"\x7fELFnothing")
    checks = _checks(place)
    assert "could not be started" in checks["process"].detail
