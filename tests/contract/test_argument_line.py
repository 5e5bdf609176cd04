"""Tests of splitting the argument string of a task."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epm_task.contract.argument_line import ArgumentsError
from epm_task.contract.tokens import substitute

_TRICKY = st.text(alphabet="ab '\"\\{}x\t", max_size=16)


@given(_TRICKY)
def test_posix_split_agrees_with_shlex(text: str) -> None:
    """Whatever shlex can split, we split in the same way."""
    try:
        wanted = shlex.split(text)
    except ValueError:
        return
    assert substitute(text, {}, windows=False) == wanted


def test_shell_escapes_inside_double_quotes() -> None:
    """A backslash goes before the four characters of a POSIX shell, and stays elsewhere."""
    assert substitute(r'"\$a \`b \"c \\d \e"', {}, windows=False) == [r'$a `b "c \d \e']


@given(st.lists(_TRICKY, max_size=4))
def test_windows_split_undoes_list2cmdline(argv: list[str]) -> None:
    """The split is the inverse of what the standard library writes for Windows."""
    assert substitute(subprocess.list2cmdline(argv), {}, windows=True) == argv


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
def test_windows_rules(text: str, argv: list[str]) -> None:
    """The documented examples of `CommandLineToArgvW`; a single quote is nothing special."""
    assert substitute(text, {}, windows=True) == argv


@pytest.mark.parametrize("text", ['--a="x', "--a='x", "a\\"])
def test_open_quote_is_refused_on_posix(text: str) -> None:
    """A quote that is not closed is an error, and says where."""
    with pytest.raises(ArgumentsError, match="not closed"):
        substitute(text, {}, windows=False)
