"""Tests of an invocation: argv and environment, read strictly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from runtime.run_parts import invoked

from epm_task.errors import (
    BadJobId,
    InvalidArgument,
    InvocationError,
    MissingArgument,
    NoAgent,
    UnknownOption,
    UnsubstitutedToken,
)
from epm_task.runtime.invocation import (
    RESERVED_OPTIONS,
    Invocation,
    check_surroundings,
    information_asked_for,
    one_file_build,
    read_invocation,
    started_by_agent,
    task_asked_for,
)
from epm_task.runtime.parameter import Parameter

PARAMETERS = (
    Parameter("root", str),
    Parameter("verify", bool, default=False),
    Parameter("port", int, default=[], repeated=True),
    Parameter("limit", int, default=7),
)


def read(*argv: str, **environ: str) -> Invocation:
    """Read an invocation of a task with the parameters above."""
    return read_invocation(PARAMETERS, argv, environ)


@pytest.mark.parametrize(
    ("argv", "arguments"),
    [
        (["--root", "/a"], {"root": "/a", "verify": False, "port": [], "limit": 7}),
        (["--root=/a", "--verify"], {"verify": True}),
        (["--root=/a", "--no-verify"], {"verify": False}),
        (["--root=/a", "--no-verify=false"], {"verify": True}),
        (["--root=/a", "--verify=Yes"], {"verify": True}),
        (["--root=/a", "--verify="], {"verify": False}),
        (["--root=/a", "--no-verify="], {"verify": False}),
        (["--root=/a", "--port=1", "--port", "2"], {"port": [1, 2]}),
        (["--root=/a", "--port="], {"port": []}),
        (["--root=/a", "--limit="], {"limit": 7}),
        (["--root=/a", "--limit", "-3"], {"limit": -3}),
        (["--root="], {"root": ""}),
        (["--root=a=b"], {"root": "a=b"}),
        (["--root", "a b"], {"root": "a b"}),
        (["--root={not a token}"], {"root": "{not a token}"}),
    ],
)
def test_arguments_are_read(argv: list[str], arguments: dict[str, Any]) -> None:
    """Both spellings, flags, repetition and empty values mean what people expect."""
    found = read(*argv).arguments
    assert {name: found[name] for name in arguments} == arguments


@pytest.mark.parametrize(
    ("argv", "kind", "words"),
    [
        ([], MissingArgument, '--root="{Root}"'),
        (["--root=a", "--prt=1"], UnknownOption, "did you mean --port"),
        (["--root=a", "stray"], UnknownOption, "stray"),
        (["--root=a", "--"], UnknownOption, "--"),
        (["--root=a", "-v"], UnknownOption, "-v"),
        (["--root={Root}"], UnsubstitutedToken, "--root still holds {Root}"),
        (["--root=x/{ScanRoot}/y"], UnsubstitutedToken, "{ScanRoot}"),
        (["--root=a", "--root=b"], InvalidArgument, "given twice"),
        (["--root"], InvalidArgument, "--root=VALUE"),
        (["--root", "--verify"], InvalidArgument, "--root=VALUE"),
        (["--root=a", "--limit=x"], InvalidArgument, "whole number"),
        (["--root=a", "--no-verify=maybe"], InvalidArgument, "neither true nor false"),
        (["--root=a", "--flush-timeout=-1"], InvalidArgument, "0 to 86400"),
        (["--root=a", "--deadline=1e9"], InvalidArgument, "0 to 86400"),
        (["--root=a", "--log-level=loud"], InvalidArgument, "none of trace"),
    ],
)
def test_wrong_arguments_are_refused(argv: list[str], kind: type, words: str) -> None:
    """Every mistake is told with the option and the fix."""
    with pytest.raises(kind) as refused:
        read(*argv)
    assert words in str(refused.value)
    assert isinstance(refused.value, InvocationError)


def test_runtime_arguments_have_defaults() -> None:
    """Without them a task waits 15 s for its registration and 5 s for its records."""
    found = read("--root=a")
    assert (found.registration_timeout, found.flush_timeout, found.deadline) == (15, 5, None)
    assert (found.keeper_api_base, found.ca_file, found.log_level) == (None, None, "information")


def test_client_id_template_keeps_its_braces() -> None:
    """The one argument that may hold tokens is the client id's template."""
    assert read("--root=a", "--client-id-template={run_id}_{job_id}").client_id_template == (
        "{run_id}_{job_id}"
    )


def test_job_comes_from_the_environment() -> None:
    """The agent gives the job's id and name by environment."""
    found = read("--root=a", KEEPER_JOB_ID="key-scanner", KEEPER_JOB_NAME="Key scanner")
    assert (found.job_id, found.job_name) == ("key-scanner", "Key scanner")


@pytest.mark.parametrize("environ", [{}, {"KEEPER_JOB_ID": ""}])
def test_job_may_be_unknown(environ: dict[str, str]) -> None:
    """Without topics the agent gives no job id."""
    assert read("--root=a", **environ).job_id is None


def test_job_id_with_underscore_is_refused() -> None:
    """A job id that the broker would misread ends the run."""
    with pytest.raises(BadJobId):
        read("--root=a", KEEPER_JOB_ID="bad_id")


def test_runs_have_ids_of_their_own() -> None:
    """Two invocations never share a run id, which has sixteen hexadecimal digits."""
    assert read("--root=a").run_id != read("--root=a").run_id
    assert re.fullmatch("[0-9a-f]{16}", read("--root=a").run_id)


def test_default_list_is_not_shared() -> None:
    """A handler that changes its list does not change the next run's."""
    assert read("--root=a").arguments["port"] is not PARAMETERS[2].default


@pytest.mark.parametrize(
    ("argv", "name"),
    [(["--task=a"], "a"), (["--x", "--task", "b"], "b"), (["--task"], None), ([], None)],
)
def test_task_is_found_before_its_parameters_are_known(argv: list[str], name: str | None) -> None:
    """`--task` is read first, as it decides what the rest means."""
    assert task_asked_for(argv) == name


def test_reserved_options_are_frozen() -> None:
    """No parameter of an author may ever collide with these."""
    assert set(RESERVED_OPTIONS) == {
        *("--help", "--version", "--selftest", "--keeper-api-base", "--ca-file", "--task"),
        *("--registration-timeout", "--flush-timeout", "--deadline", "--log-level"),
        "--client-id-template",
        "--spread",
        "--started-by",
    }


@pytest.mark.parametrize(
    ("argv", "started"),
    [
        (["--keeper-api-base=x"], True),
        (["--name", "a", "--keeper-api-base", "x"], True),
        (["--help"], False),
        (["--keeper-api-base-of=x"], False),
    ],
)
def test_address_of_the_api_tells_that_an_agent_started_us(
    argv: list[str], *, started: bool
) -> None:
    """Whoever passes the agent's address is, or plays, the agent."""
    assert started_by_agent(argv) is started


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["--version", "--help"], "--help"),
        (["--help", "--selftest"], "--selftest"),
        (["--name=--help"], ""),
    ],
)
def test_one_piece_of_information_is_asked_for(argv: list[str], option: str) -> None:
    """With several of the options that inform, the same one always wins."""
    assert information_asked_for(argv) == option


#: Runs a task as PyInstaller's bootloader would start it from this executable and folder.
FROZEN = """
import sys
from epm_task import task
@task
def program() -> None: ...
sys.frozen, sys.executable, sys._MEIPASS = True, *sys.argv[1:3]
program.main(["--keeper-api-base=https://127.0.0.1:1", "--registration-timeout=0"])
"""


def _frozen(executable: Path, unpacked: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FROZEN, executable, unpacked],
        capture_output=True,
        text=True,
        check=False,
    )


def test_base_url_is_what_a_run_needs() -> None:
    """With a base URL the surroundings are right."""
    url = "https://127.0.0.1:6889"
    given = invoked(keeper_api_base=url)
    assert check_surroundings(given, Path(__file__), []) == url


def test_without_an_agent_the_command_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command that runs the task here holds the file, as short as it can be, and the rest."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my task.py"
    quote = '"' if os.name == "nt" else "'"
    line = "epm-task run 'my task.py' -- --root '$HOME'".replace("'", quote)
    with pytest.raises(NoAgent, match=re.escape(line)):
        check_surroundings(invoked(keeper_api_base=None), file, ["--root", "$HOME"])
    monkeypatch.chdir("/")
    with pytest.raises(NoAgent, match=rf"epm-task run {quote}?/?.*my task\.py{quote}$"):
        check_surroundings(invoked(keeper_api_base=None), file, [])


def test_file_of_another_drive_is_shown_whole() -> None:
    """A file that is not below the working directory keeps its full path."""
    file = Path("/nowhere/else.py")
    with pytest.raises(NoAgent, match=re.escape(f"epm-task run {file}")):
        check_surroundings(invoked(keeper_api_base=None), file, [])


def test_plain_python_is_no_one_file_build() -> None:
    """This process is none."""
    assert not one_file_build()


def test_one_file_build_is_78(tmp_path: Path) -> None:
    """A program that was unpacked elsewhere is refused, with the way to build it."""
    ended = _frozen(tmp_path / "app" / "app", tmp_path / "_MEI123")
    assert (ended.returncode, ended.stdout) == (78, "")
    assert "one-file executable" in ended.stderr
    assert "--onedir" in ended.stderr


@pytest.mark.parametrize("unpacked", ["app/_internal", "app/deep/_internal"])
def test_one_folder_build_is_accepted(tmp_path: Path, unpacked: str) -> None:
    """A program that stands beside its libraries goes on: here, to an agent that is absent."""
    ended = _frozen(tmp_path / "app" / "app", tmp_path / unpacked)
    assert ended.returncode == 69, ended.stderr
