"""A task refuses to run where it cannot be trusted, or where nobody started it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from runtime.run_parts import invoked

from epm_task.errors import NoAgent
from epm_task.runtime.surroundings import check_surroundings, one_file_build

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
    with pytest.raises(NoAgent, match=r"epm-task run 'my task\.py' -- --root '\$HOME'"):
        check_surroundings(invoked(keeper_api_base=None), file, ["--root", "$HOME"])
    monkeypatch.chdir("/")
    with pytest.raises(NoAgent, match=r"epm-task run '?/?.*my task\.py'$"):
        check_surroundings(invoked(keeper_api_base=None), file, [])


def test_file_of_another_drive_is_shown_whole() -> None:
    """A file that is not below the working directory keeps its full path."""
    with pytest.raises(NoAgent, match=r"epm-task run /nowhere/else\.py"):
        check_surroundings(invoked(keeper_api_base=None), Path("/nowhere/else.py"), [])


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
