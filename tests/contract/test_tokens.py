"""Tests of the tokens."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epm_task.contract.layout import AgentRoot
from epm_task.contract.names import os_name
from epm_task.contract.tokens import (
    PATH_TOKEN_NAMES,
    ArgumentsError,
    split_arguments,
    substitute,
    unknown_tokens,
)
from epm_task.simulator.jobs.values import path_tokens

_TRICKY = st.text(alphabet="ab '\"\\{}x\t", max_size=16)


def test_tokens_are_replaced_in_and_out_of_quotes():
    """A token may be a part of an argument."""
    argv = substitute('--base={Url} --root="{Root}/x"', {"Url": "u", "Root": "/r"}, windows=False)
    assert argv == ["--base=u", "--root=/r/x"]


def test_quoted_value_with_blanks_stays_one_argument():
    """Quotes in the template keep a value together."""
    assert substitute('--root="{Root}"', {"Root": "/a b  c"}, windows=False) == ["--root=/a b  c"]


def test_unquoted_value_with_blanks_is_split():
    """Without quotes the value is split, as substituted text would be in the field."""
    assert substitute("--root={Root}!", {"Root": " a b "}, windows=False) == [
        "--root=",
        "a",
        "b",
        "!",
    ]


@pytest.mark.parametrize("windows", [False, True])
@given(value=_TRICKY)
def test_quoted_value_cannot_break_out(value: str, *, windows: bool):
    """Whatever a value holds, inside quotes it is exactly one argument."""
    argv = substitute('--a="{V}" end', {"V": value}, windows=windows)
    assert argv == [f"--a={value}", "end"]


@given(_TRICKY)
def test_unquoted_value_cannot_open_a_quote(value: str):
    """A quote in a value is a character, so the next argument stays what it is."""
    assert substitute("{V} end", {"V": value}, windows=False) == [*value.split(), "end"]


def test_value_is_not_substituted_again():
    """A value that holds a token is taken as it is."""
    assert substitute("{A}", {"A": "{B}", "B": "secret"}, windows=False) == ["{B}"]


def test_undefined_token_stays():
    """The task then fails and names it."""
    assert substitute("--a={Nobody}", {}, windows=False) == ["--a={Nobody}"]


def test_case_counts_outside_windows_only():
    """Names are compared with case, except on Windows."""
    values = {"KeeperApiBaseUrl": "u"}
    assert substitute("{keeperapibaseurl}", values, windows=True) == ["u"]
    assert substitute("{keeperapibaseurl}", values, windows=False) == ["{keeperapibaseurl}"]


def test_empty_value_vanishes_without_quotes_only():
    """`{Empty}` alone is no argument, `"{Empty}"` is an empty one."""
    assert substitute('{E} "{E}" --a={E} {E}', {"E": ""}, windows=False) == ["", "--a="]


def test_tokens_without_a_value():
    """Braces that hold no name are no tokens; the case of names counts outside Windows."""
    text = '{"a": 1} {1} {Root} {a.b-c} {root}'
    assert unknown_tokens(text, {"Root": ""}, windows=False) == ["a.b-c", "root"]
    assert unknown_tokens(text, {"ROOT": ""}, windows=True) == ["a.b-c"]


@given(_TRICKY)
def test_posix_split_agrees_with_shlex(text: str):
    """Whatever shlex can split, we split in the same way."""
    try:
        wanted = shlex.split(text)
    except ValueError:
        return
    assert split_arguments(text, windows=False) == wanted


def test_shell_escapes_inside_double_quotes():
    """A backslash goes before the four characters of a POSIX shell, and stays elsewhere."""
    assert split_arguments(r'"\$a \`b \"c \\d \e"', windows=False) == [r'$a `b "c \d \e']


@given(st.lists(_TRICKY, max_size=4))
def test_windows_split_undoes_list2cmdline(argv: list[str]):
    """The split is the inverse of what the standard library writes for Windows."""
    assert split_arguments(subprocess.list2cmdline(argv), windows=True) == argv


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        (r'"a b" c', ["a b", "c"]),
        (r'"ab\"c" "\\" d', ['ab"c', "\\", "d"]),
        (r"a\\\b d", [r"a\\\b", "d"]),
        (r"a\\\"b c", [r"a\"b", "c"]),
        (r'"a""b"', ['a"b']),
        ("'a b'", ["'a", "b'"]),
        ('"open end', ["open end"]),
    ],
)
def test_windows_rules(text: str, argv: list[str]):
    """The documented examples of `CommandLineToArgvW`; a single quote is nothing special."""
    assert split_arguments(text, windows=True) == argv


@pytest.mark.parametrize("text", ['--a="x', "--a='x", "a\\"])
def test_open_quote_is_refused_on_posix(text: str):
    """A quote that is not closed is an error, and says where."""
    with pytest.raises(ArgumentsError, match="not closed"):
        split_arguments(text, windows=False)


VARIABLES = ("SystemRoot", "SystemDrive", "ProgramFiles", "ProgramFiles(x86)", "USERPROFILE")
FOLDERS = ("APPDATA", "LOCALAPPDATA", "ProgramData", "TEMP")


@pytest.mark.parametrize("platform", ["win32", "darwin", "linux"])
def test_the_simulator_fills_the_tokens_that_the_rules_know(platform: str) -> None:
    """No more and no fewer, on each system."""
    environ = dict.fromkeys((*VARIABLES, *FOLDERS), "x")
    filled = path_tokens(AgentRoot(Path("/agent")), environ, platform=platform)
    assert filled.keys() == PATH_TOKEN_NAMES[os_name(platform)]
