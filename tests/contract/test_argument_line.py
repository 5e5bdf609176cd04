"""Tests of splitting the argument string of a task."""

from __future__ import annotations

import ctypes
import random
import re
import shlex
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epm_task.contract.argument_line import ArgumentsError, command_text, split_words
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


@pytest.mark.parametrize("windows", [False, True])
@given(words=st.lists(_TRICKY | st.text(max_size=5), max_size=4))
def test_what_people_are_told_to_type_is_split_into_the_words(
    windows: bool,  # noqa: FBT001  # pytest gives it by name
    words: list[str],
) -> None:
    """By the rules of the shell that they have."""
    assert split_words(command_text(words, windows=windows), windows=windows) == words


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["epm-task", "run", r"src\a.py", "--", "--x=1"], r"epm-task run src\a.py -- --x=1"),
        (["cd", "C:\\My Tasks\\"], r'cd "C:\My Tasks\\"'),
        (["a&b", "", 'say "x"'], r'"a&b" "" "say \"x\""'),
    ],
)
def test_windows_has_double_quotes(words: list[str], typed: str) -> None:
    """To cmd.exe single ones are letters."""
    assert command_text(words, windows=True) == typed


def _quoted(argument: str, quote: str) -> str:
    """Return *argument* in quotes, each quote in it written as *quote*."""
    doubled = re.sub(r'(\\+)(?="|$)', r"\1\1", argument)
    return '"' + doubled.replace('"', quote) + '"'


@given(st.lists(st.tuples(_TRICKY, st.sampled_from([r"\"", '"""'])), max_size=4))
def test_windows_has_two_ways_to_write_a_quote(written: list[tuple[str, str]]) -> None:
    """Inside quotes a quote is a backslash and a quote, or three: one of them opens them again."""
    line = " \t".join(_quoted(argument, quote) for argument, quote in written)
    assert substitute(line, {}, windows=True) == [argument for argument, _ in written]


if sys.platform == "win32":
    _SHELL = ctypes.WinDLL("shell32").CommandLineToArgvW
    _SHELL.restype = ctypes.POINTER(ctypes.c_wchar_p)
    _FREE = ctypes.WinDLL("kernel32").LocalFree
    _FREE.argtypes = [ctypes.c_void_p]

    def _windows_argv(line: str) -> list[str]:
        """Return what the system makes of *line*; the first argument has other rules."""
        count = ctypes.c_int()
        found = _SHELL(ctypes.c_wchar_p(f"program {line}"), ctypes.byref(count))
        try:
            return [text or "" for text in found[1 : count.value]]
        finally:
            _FREE(found)

    def test_windows_split_agrees_with_the_system() -> None:
        """The system's own `CommandLineToArgvW` splits 10 000 lines as we do."""
        draw = random.Random(1)
        plain = '""""\\\\\\  \tab=-%^&|<>!\'{x}\r\n\v\x01\xa0\xfc\u3000\u6f22\ud800'
        alphabet = [*plain, "\U0001f600"]
        for _ in range(10_000):
            line = "".join(draw.choices(alphabet, k=draw.randrange(24)))
            assert substitute(line, {}, windows=True) == _windows_argv(line), ascii(line)


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("", []),
        (" \t ", []),
        ('""', [""]),
        ('"a" "" b', ["a", "", "b"]),
        (r'"a b" c', ["a b", "c"]),
        (r'"ab\"c" "\\" d', ['ab"c', "\\", "d"]),
        (r"a\\\b d", [r"a\\\b", "d"]),
        (r"a\\\"b c", [r"a\"b", "c"]),
        (r'a\\\\"b c" d e', [r"a\\b c", "d", "e"]),
        (r'a\\\b d"e f"g h', [r"a\\\b", "de fg", "h"]),
        (r'"C:\a b\\" c', ["C:\\a b\\", "c"]),
        ("a\nb\u00a0c\rd", ["a\nb\u00a0c\rd"]),
        (r'"a""b"', ['a"b']),
        (r'a"b"" c d', ['ab"', "c", "d"]),
        ('"a"" b"', ['a"', "b"]),
        ('"""a b" c', ['"a', "b c"]),
        ('""""a b', ['"a b']),
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
