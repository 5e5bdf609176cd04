"""Split the one argument string of a task by the quoting rules of its system.

The vendor does not state these rules. Ours are those of the platform: a POSIX shell's, or those of
`CommandLineToArgvW`. Arguments that use double quotes only, never two in a row, mean the same in
both.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.errors import EpmTaskError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What separates arguments; other white space, such as a no-break space, is a character.
POSIX_BLANKS: Final = " \t\r\n"
WINDOWS_BLANKS: Final = " \t"

_POSIX_PIECE: Final = re.compile(
    rf"""(?P<blank>[{POSIX_BLANKS}]+)"""
    r"""|'(?P<single>[^']*)'"""
    r"""|"(?P<double>(?:\\.|[^"\\])*)\""""
    r"""|\\(?P<escaped>.)"""
    rf"""|(?P<plain>[^{POSIX_BLANKS}'"\\]+)""",
    re.DOTALL,
)
#: Inside double quotes a POSIX shell takes the backslash away before these characters only.
_POSIX_ESCAPE: Final = re.compile(r'\\([$`"\\\n])')

_WINDOWS_PIECE: Final = re.compile(
    rf"""(?P<blank>[{WINDOWS_BLANKS}]+)|(?P<slashes>\\*)(?P<quote>")"""
    rf"""|(?P<plain>\\+|[^{WINDOWS_BLANKS}"\\]+)"""
)
#: What neither cmd.exe nor PowerShell reads as anything but itself.
_WINDOWS_PLAIN: Final = re.compile(r"[\w.:\\/=+-]+")


class ArgumentsError(EpmTaskError, ValueError):
    """The argument string of a task cannot be split."""


class Piece(NamedTuple):
    """A stretch of one argument: inside quotes, or outside."""

    text: str
    quoted: bool


def split_line(text: str, *, windows: bool) -> list[list[Piece]]:
    """Return the arguments in *text*, each as its stretches.

    Raises:
        ArgumentsError: A quote is not closed (POSIX only; Windows takes the rest of the string).
    """
    pieces = _windows_pieces(text) if windows else _posix_pieces(text)
    arguments: list[list[Piece]] = []
    inside = False
    for piece in pieces:
        if piece is None:
            inside = False
        elif inside:
            arguments[-1].append(piece)
        else:
            arguments.append([piece])
            inside = True
    return arguments


def split_words(text: str, *, windows: bool) -> list[str]:
    """Return the arguments in *text*, without their quotes.

    Raises:
        ArgumentsError: A quote is not closed (POSIX only).
    """
    arguments = split_line(text, windows=windows)
    return ["".join(piece.text for piece in pieces) for pieces in arguments]


def command_text(words: Iterable[str], *, windows: bool = sys.platform == "win32") -> str:
    """Return *words* as people type them: in a POSIX shell, or in cmd.exe and PowerShell."""
    if not windows:
        import shlex  # noqa: PLC0415  # no task needs it

        return shlex.join(words)
    return " ".join(
        word if _WINDOWS_PLAIN.fullmatch(word) else _in_double_quotes(word) for word in words
    )


def _in_double_quotes(word: str) -> str:
    """Return a word that the rules of Windows read as *word*; its quotes follow a backslash."""
    doubled = re.sub(r'(\\+)(?="|\Z)', r"\1\1", word)
    return '"' + doubled.replace('"', r"\"") + '"'


def _posix_pieces(text: str) -> Iterator[Piece | None]:
    """Yield the pieces; None means the blanks between two arguments."""
    position = 0
    while position < len(text):
        match = _POSIX_PIECE.match(text, position)
        if match is None:
            what = f"the arguments hold a quote that is not closed: {text[position:]}"
            raise ArgumentsError(what, fix="close the quote")
        position = match.end()
        kind, found = match.lastgroup, match[match.lastgroup or 0]
        if kind == "blank":
            yield None
        elif kind == "double":
            yield Piece(_POSIX_ESCAPE.sub(r"\1", found), quoted=True)
        else:
            yield Piece(found, quoted=kind != "plain")


def _windows_pieces(text: str) -> Iterator[Piece | None]:
    r"""Yield the pieces; 2n backslashes before a quote are n, and 2n+1 are n and a literal quote.

    Two quotes inside quotes are a literal one, and end them. A program made with Visual C++ 2008 or
    later stays inside them, so its arguments end at other blanks; `\"` means the same to all.
    """
    quoted, position = False, 0
    while position < len(text):
        match = _WINDOWS_PIECE.match(text, position)
        if match is None:
            what = f"the arguments cannot be split: {text[position:]}"
            raise ArgumentsError(what, fix="correct the quotes")
        position = match.end()
        if match["blank"]:
            yield Piece(match["blank"], quoted=True) if quoted else None
        elif match["quote"]:
            half, odd = divmod(len(match["slashes"]), 2)
            literal = "\\" * half + ('"' if odd else "")
            if not odd and quoted and text[position : position + 1] == '"':
                literal, position = literal + '"', position + 1
            if not odd:
                quoted = not quoted
            yield Piece(literal, quoted=True)
        else:
            yield Piece(match["plain"], quoted)


#: cmd.exe reads these again after the arguments were quoted for the program.
_BATCH_SPECIAL: Final = frozenset('"%!&|<>^\r\n')


def fits_batch(arguments: Iterable[str]) -> bool:
    """Return whether no argument of a batch file could break out of its command line."""
    return not any(_BATCH_SPECIAL & set(argument) for argument in arguments)
