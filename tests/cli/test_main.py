"""Tests of the entry point: verbs, help, version, and errors that take one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli.command import HELLO, environment, epm_task, line
from cli.command_line import epm_task as in_process
from peers.closed_streams import run_without
from peers.patience import PATIENCE
from typer.testing import CliRunner

import epm_task as package
from epm_task.cli.verbs import SECTIONS, app

if TYPE_CHECKING:
    from pathlib import Path


def test_no_arguments() -> None:
    """`epm-task` alone shows the help on stderr, and 2, as nothing was done."""
    ended = epm_task()
    assert (ended.code, ended.out) == (2, "")
    assert ended.err[0] == "Usage: epm-task [OPTIONS] COMMAND [ARGS]..."
    for verb in ("run", "agent", "exit-codes"):
        assert any(line.split()[:1] == [verb] for line in ended.err)


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["run", "--help"], ["agent", "-h"]])
def test_help(words: list[str]) -> None:
    """Help goes to stdout; that of a verb has an example."""
    ended = in_process(*words)
    assert (ended.exit_code, ended.err) == (0, "")
    assert ended.out.startswith("Usage: epm-task ")
    assert "Example: epm-task" in ended.out or len(words) == 1


@pytest.mark.parametrize("words", [["--version"], ["-v", "--version"]])
def test_version(words: list[str]) -> None:
    """`--version` prints the package's."""
    assert in_process(*words).out == f"epm-task {package.__version__}\n"


def python(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run Python itself."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env=environment(more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("module", ["epm_task", "epm_task.cli"])
def test_python_runs_the_package(module: str) -> None:
    """`python -m` with either name is `epm-task`."""
    assert python("-m", module, "--version").stdout == f"epm-task {package.__version__}\n"


def test_importing_the_entry_points_runs_nothing() -> None:
    """Who walks through all modules of the package does not start the command line."""
    code = "import sys, epm_task.__main__, epm_task.cli.__main__; print('typer' in sys.modules)"
    assert python("-c", code).stdout == "False\n"


def test_without_its_packages_the_command_line_says_what_to_install(tmp_path: Path) -> None:
    """A task needs less than the command line, so they may be missing."""
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(name='typer')")
    ended = python("-m", "epm_task", "run", HELLO, PYTHONPATH=str(tmp_path))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "the package typer is not installed" in ended.stderr
    assert 'pip install "epm-task[tools]"' in ended.stderr
    told = python("-m", "epm_task", "--version", PYTHONPATH=str(tmp_path))
    assert told.stdout == f"epm-task {package.__version__}\n"


#: 423 on Linux with Python 3.11; the rest is room for other versions.
MOST_MODULES = 460


def modules(*words: str, **more: str) -> set[str]:
    """Return the modules that `epm-task` loads for these words."""
    code = (
        "import atexit, sys; from epm_task.cli.main import main;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        f"sys.argv[1:] = {words!r}; main()"
    )
    return set(python("-c", code, **more).stderr.splitlines()[-1].split())


def test_version_and_help_load_no_verb() -> None:
    """A verb is imported when it is called; the version needs no package but ours."""
    assert {name for name in modules("--version") if name.startswith("epm_task.")} == {
        "epm_task.cli",
        "epm_task.cli.main",
        "epm_task.contract",
        "epm_task.contract.record",
        "epm_task.errors",
        "epm_task.exit_code",
        "epm_task.runtime",
        "epm_task.runtime.stop",
        "epm_task.runtime.streams",
        "epm_task.runtime.timed_write",
    }
    helped = modules("--help")
    assert {name for name in helped if name.startswith("epm_task.cli.")} == {
        "epm_task.cli.interruption",
        "epm_task.cli.main",
        "epm_task.cli.verbs",
    }
    heavy = {"asyncio", "cryptography", "httpx", "psutil", "pydantic", "rich"}
    assert helped & heavy == set()


@pytest.mark.parametrize(
    "words",
    [
        ["run", str(HELLO), "--timeout", "60", "--deny", "Jobs/x", "--", "--name", "you"],
        ["agent", "--root", os.devnull, "--https-port", "0", "--mqtt-port", "0"],
    ],
    ids=["run", "agent"],
)
def test_agent_in_a_box_loads_no_client(words: list[str]) -> None:
    """The agent has a server; Typer checks no plain value by means of pydantic."""
    # Coverage loads modules of its own.
    found = modules(*words, COVERAGE_PROCESS_CONFIG="", COVERAGE_PROCESS_START="")
    assert {"h11", "epm_task.simulator.agent"} <= found
    unused = {"httpx", "pydantic", "rich", "structlog"}
    if sys.platform == "linux":  # elsewhere psutil tells processes apart
        unused.add("psutil")
    assert not found & unused
    ours = ("epm_task.admin", "epm_task.freeze", "epm_task.job.rules", "epm_task.simulator.console")
    assert not {name for name in found if name.startswith(ours)}
    assert len(found) <= MOST_MODULES


def test_completion_of_a_verb_loads_no_verb() -> None:
    """The shell asks at each press of the tabulator key."""
    asked = {"_EPM_TASK_COMPLETE": "complete_bash", "COMP_WORDS": "epm-task ver", "COMP_CWORD": "1"}
    code = (
        "import atexit, sys; from epm_task.cli.main import main;"
        "atexit.register(lambda: print('LOADED', 'epm_task.cli.freeze' in sys.modules)); main()"
    )
    shown = python("-c", code, **asked).stdout.split()
    assert shown == ["verify", "verify-install", "LOADED", "False"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?; see epm-task --help"),
        (["zzz"], "No such command 'zzz'; see epm-task --help"),
        (["run"], "Missing argument 'FILE[:TASK]'; see epm-task run --help"),
        (["agent"], "Missing option '--root'; see epm-task agent --help"),
        (["run", "x.py", "--jbo-id", "x"], "--job-id"),
        (["run", "x.py", "--timeout", "soon"], "'--timeout'"),
        (["run", "x.py", "--timeout", "0"], "'--timeout'"),
        (["run", "x.py", "--timeout", "nan"], "'--timeout'"),
        (["run", "x.py", "--registration-delay", "-1"], "'--registration-delay'"),
        (["run", "x.py", "--deny"], "--deny"),
        (["exit-codes", "x"], "exit-codes --help"),
    ],
)
def test_wrong_use(words: list[str], sentence: str) -> None:
    """One line on stderr says what is wrong and where to look; the exit code is 2."""
    ended = in_process(*words)
    assert (ended.exit_code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("epm-task: ")
    assert sentence in ended.err


def test_control_characters_in_an_error() -> None:
    """What the user typed cannot paint the terminal."""
    ended = in_process("run", "\x1b[31m\nred.py")
    assert (ended.exit_code, ended.err.count("\n")) == (2, 1)
    assert "\\x1b[31m\\nred.py" in ended.err


def test_console_without_the_characters(tmp_path: Path) -> None:
    """One of code page 437, for example: it shows an escape for what it does not have."""
    file = tmp_path / "\u6f22 \U0001f600.json"
    file.write_text('{"id": "a_b"}')
    ended = epm_task("validate", file, env={"PYTHONIOENCODING": "cp437", "PYTHONUTF8": "0"})
    assert ended.code == 1
    assert "\\u6f22 \\U0001f600.json:1:" in ended.out


def test_defect_shows_its_traceback_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw is 70 and one line; `-v` adds the traceback."""

    def broken() -> None:
        raise LookupError("unforeseen")

    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    app.command("broken")(broken)
    ended = in_process("broken")
    assert (ended.exit_code, ended.err.count("\n")) == (70, 1)
    assert "a defect of epm-task (LookupError: unforeseen)" in ended.err
    assert "Traceback" not in ended.err
    assert "Traceback" in in_process("-v", "broken").err


def test_closed_pipe() -> None:
    """`epm-task run … | true` ends without a traceback."""
    line = f'"{sys.executable}" -m epm_task.cli exit-codes --json | "{sys.executable}" -c ""'
    done = subprocess.run(line, shell=True, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    assert b"Traceback" not in done.stderr


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    """A trace or recording in a folder that does not exist is refused before the task starts."""
    for option in ("--trace", "--record"):
        ended = in_process("run", HELLO, option, tmp_path / "absent" / "file")
        assert (ended.exit_code, ended.out, ended.err.count("\n")) == (1, "", 1)
        assert "cannot be written: No such file or directory" in ended.err
    ended = in_process("run", HELLO, "--replay", tmp_path / "absent")
    assert (ended.exit_code, ended.err.count("\n")) == (1, 1)
    assert "absent" in ended.err


def test_verbs_stand_below_what_they_are_for() -> None:
    """Each verb has a section, and one line."""
    shown = CliRunner().invoke(app, ["--help"], terminal_width=80).output
    sections = re.split(r"^(\S[^\n]*):$", shown, flags=re.MULTILINE)[1:]
    found = {
        title: dict(re.findall(r"^  ([a-z-]+)  +(\S.*)$", body, re.MULTILINE))
        for title, body in zip(sections[::2], sections[1::2], strict=True)
        if title != "Options"
    }
    assert found == {
        title: {verb: summary for verb, (_, summary) in verbs.items()}
        for title, verbs in SECTIONS.items()
    }


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(tmp_path: Path, closed: str) -> None:
    """As under some schedulers: the command does its work, and what it says goes nowhere."""
    written = tmp_path / "hello.json"
    ended = run_without(closed, line("job", HELLO, "-o", written), env=environment())
    assert (ended.returncode, written.exists()) == (0, True)
    failed = run_without(closed, line("run", "-"))
    assert failed.returncode not in {0, 1, 70}
