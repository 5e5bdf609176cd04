"""Tests of the tokens."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epm_task.contract.layout import AgentRoot
from epm_task.contract.names import os_name
from epm_task.contract.tokens import (
    PATH_TOKEN_NAMES,
    parameter_meant,
    path_tokens,
    substitute,
    unknown_tokens,
    unused_values,
)

_TRICKY = st.text(alphabet="ab '\"\\{}x\t", max_size=16)


def test_tokens_are_replaced_in_and_out_of_quotes() -> None:
    """A token may be a part of an argument."""
    argv = substitute('--base={Url} --root="{Root}/x"', {"Url": "u", "Root": "/r"}, windows=False)
    assert argv == ["--base=u", "--root=/r/x"]


def test_quoted_value_with_blanks_stays_one_argument() -> None:
    """Quotes in the template keep a value together."""
    assert substitute('--root="{Root}"', {"Root": "/a b  c"}, windows=False) == ["--root=/a b  c"]


def test_unquoted_value_with_blanks_is_split() -> None:
    """Without quotes the value is split, as substituted text would be in the field."""
    assert substitute("--root={Root}!", {"Root": " a b "}, windows=False) == [
        "--root=",
        "a",
        "b",
        "!",
    ]


@pytest.mark.parametrize("windows", [False, True])
@given(value=_TRICKY)
def test_quoted_value_cannot_break_out(value: str, *, windows: bool) -> None:
    """Whatever a value holds, inside quotes it is exactly one argument."""
    argv = substitute('--a="{V}" end', {"V": value}, windows=windows)
    assert argv == [f"--a={value}", "end"]


@given(_TRICKY)
def test_unquoted_value_cannot_open_a_quote(value: str) -> None:
    """A quote in a value is a character, so the next argument stays what it is."""
    assert substitute("{V} end", {"V": value}, windows=False) == [*value.split(), "end"]


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("space", ["\u00a0", "\v", "\f", "\x1c", "\x85", "\u2003", "\u2028"])
def test_only_blanks_separate_arguments(space: str, *, windows: bool) -> None:
    """Other white space is a character: in the template, and in a value without quotes."""
    argv = substitute(f"a{space}b --n={{V}} end", {"V": f"1{space}2"}, windows=windows)
    assert argv == [f"a{space}b", f"--n=1{space}2", "end"]


def test_value_is_not_substituted_again() -> None:
    """A value that holds a token is taken as it is."""
    assert substitute("{A}", {"A": "{B}", "B": "secret"}, windows=False) == ["{B}"]


def test_undefined_token_stays() -> None:
    """The task then fails and names it."""
    assert substitute("--a={Nobody}", {}, windows=False) == ["--a={Nobody}"]


def test_case_counts_outside_windows_only() -> None:
    """Names are compared with case, except on Windows."""
    values = {"KeeperApiBaseUrl": "u"}
    assert substitute("{keeperapibaseurl}", values, windows=True) == ["u"]
    assert substitute("{keeperapibaseurl}", values, windows=False) == ["{keeperapibaseurl}"]


def test_empty_value_vanishes_without_quotes_only() -> None:
    """`{Empty}` alone is not an argument, `"{Empty}"` is an empty one."""
    assert substitute('{E} "{E}" --a={E} {E}', {"E": ""}, windows=False) == ["", "--a="]


def test_tokens_without_a_value() -> None:
    """Braces that hold no name are not tokens; the case of names counts outside Windows."""
    text = '{"a": 1} {1} {Root} {a.b-c} {root}'
    assert unknown_tokens(text, {"Root": ""}, windows=False) == ["a.b-c", "root"]
    assert unknown_tokens(text, {"ROOT": ""}, windows=True) == ["a.b-c"]


_WINDOWS = {
    "systemroot": r"C:\Windows", "windows": r"C:\Windows", "systemdrive": "C:", "temp": r"C:\T",
    "system32": r"C:\Windows\System32", "syswow64": r"C:\Windows\SysWOW64",
    "programfiles": r"C:\P", "programfilesx86": r"C:\P86", "userprofile": r"C:\U",
    "appdata": r"C:\A", "localappdata": r"C:\L", "programdata": r"C:\D",
}  # fmt: skip
_WINDOWS_ENVIRON = {
    "SystemRoot": r"C:\Windows", "SystemDrive": "C:", "TEMP": r"C:\T", "ProgramFiles": r"C:\P",
    "ProgramFiles(x86)": r"C:\P86", "USERPROFILE": r"C:\U", "APPDATA": r"C:\A",
    "LOCALAPPDATA": r"C:\L", "ProgramData": r"C:\D",
}  # fmt: skip


@pytest.mark.parametrize("platform", ["win32", "darwin", "linux"])
def test_folders_have_the_names_of_the_vendor(platform: str) -> None:
    """No more and no fewer, on each system."""
    folders = path_tokens(AgentRoot(Path("/agent")), _WINDOWS_ENVIRON, platform=platform)
    assert folders.keys() == PATH_TOKEN_NAMES[os_name(platform)]


def test_windows_folders_come_from_the_environment() -> None:
    """The folders are those that Windows itself names."""
    values = path_tokens(AgentRoot(Path("/agent")), _WINDOWS_ENVIRON, platform="win32")
    assert values.items() >= _WINDOWS.items()


def test_agent_folders_and_desktop() -> None:
    """`approot` is the agent's root; a desktop is there when a display is."""
    root = AgentRoot(Path("/agent"))
    values = path_tokens(root, {}, platform="linux")
    assert (values["approot"], values["pluginroot"]) == (str(root.path), str(root.plugins))
    assert values["hasdesktop"] == "false"
    assert path_tokens(root, {"DISPLAY": ":0"}, platform="linux")["hasdesktop"] == "true"
    assert path_tokens(root, {}, platform="darwin")["hasdesktop"] == "true"


@pytest.mark.posix("Windows has no such accounts")
def test_account_without_a_home_has_the_root_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A container may run with a user id that the system does not know, and without HOME."""
    import pwd  # POSIX only

    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert path_tokens(AgentRoot(tmp_path))["userdesktop"] == "/Desktop"


JOB = {
    "id": "job",
    "parameters": [{"name": "Root", "type": "string"}, {"name": "Suffix"}, "garbled"],
    "tasks": [{"id": "t", "arguments": "--root={Root} --how={Mode}"}],
}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Rot", "did you mean Root?"),
        ("SUFFIX", "did you mean Suffix?"),
        ("Depth", "the job has Root, Suffix"),
        ("Depth" * 100_000, "the job has Root, Suffix"),
    ],
)
def test_a_value_without_a_use_is_found(name: str, meant: str) -> None:
    """With the parameter that was meant; a token that is no parameter has a use, too."""
    given = ["Root", name, "Mode"]
    assert unused_values(JOB, given, windows=False) == [name]
    assert parameter_meant(JOB, name) == meant


def test_a_job_may_have_no_parameters() -> None:
    """Or garbled ones, as an agent may answer."""
    jobs: list[dict[str, object]] = [{}, {"parameters": None}, {"parameters": []}]
    for job in jobs:
        assert unused_values(job, ["a"], windows=False) == ["a"]
        assert parameter_meant(job, "a") == "the job has no parameters"


def test_case_of_a_value_counts_outside_windows_only() -> None:
    """As it does when the token is filled."""
    assert unused_values(JOB, ["root", "MODE"], windows=True) == []
    assert unused_values(JOB, ["root", "MODE"], windows=False) == ["root", "MODE"]
