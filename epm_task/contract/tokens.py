"""A token is a name in braces that the agent replaces in a task's arguments when the job runs.

The one argument string is split into arguments first; values enter after the split. So a value can
neither open nor close a quote, and inside quotes it stays one argument, whatever it holds. A value
outside quotes is split at its blanks, as text that was substituted before the split would be: an
author who forgot the quotes sees it here, not on the endpoint.

The vendor does not state the quoting rules; ours are those of the platform: a POSIX shell's, or
those of `CommandLineToArgvW`. Arguments that use double quotes only mean the same in both.
"""

from __future__ import annotations

import ntpath
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from epm_task.contract.layout import AgentRoot
    from epm_task.contract.names import OsName


#: Letters first, so that JSON written by hand in an argument is not taken for a token.
_TOKEN: Final = re.compile(r"\{([A-Za-z][\w.-]*)\}")
_BLANKS: Final = re.compile(r"\s+")

_POSIX_PIECE: Final = re.compile(
    r"""(?P<blank>\s+)"""
    r"""|'(?P<single>[^']*)'"""
    r"""|"(?P<double>(?:\\.|[^"\\])*)\""""
    r"""|\\(?P<escaped>.)"""
    r"""|(?P<plain>[^\s'"\\]+)""",
    re.DOTALL,
)
#: Inside double quotes a POSIX shell takes the backslash away before these characters only.
_POSIX_ESCAPE: Final = re.compile(r'\\([$`"\\\n])')

_WINDOWS_PIECE: Final = re.compile(
    r"""(?P<blank>[ \t]+)|(?P<slashes>\\*)(?P<quote>")|(?P<plain>\\+|[^ \t"\\]+)"""
)


class ArgumentsError(ValueError):
    """The argument string of a task cannot be split."""


class _Piece(NamedTuple):
    """A stretch of one argument: inside quotes, or outside."""

    text: str
    quoted: bool


def substitute(arguments: str, values: Mapping[str, str], *, windows: bool) -> list[str]:
    """Return the argv that *arguments* stands for, with *values* in place of the tokens.

    A token without a value stays as it is: the task then fails and names it.

    Args:
        arguments: The one string of a job's task.
        values: Text by token name, without braces.
        windows: Whether the rules of Windows hold, for quoting and for the case of names.

    Raises:
        ArgumentsError: A quote is not closed (POSIX only; Windows takes the rest of the string).
    """
    known = {name.casefold(): value for name, value in values.items()} if windows else values

    def value_of(match: re.Match[str]) -> str:
        return known.get(match[1].casefold() if windows else match[1], match[0])

    argv: list[str] = []
    for pieces in _split(arguments, windows=windows):
        filled = [_Piece(_TOKEN.sub(value_of, text), quoted) for text, quoted in pieces]
        changed = [after.text != before.text for before, after in zip(pieces, filled, strict=True)]
        argv += _rejoin(filled, changed)
    return argv


def split_arguments(text: str, *, windows: bool) -> list[str]:
    """Return the arguments in *text*, by the quoting rules of the platform.

    Raises:
        ArgumentsError: A quote is not closed (POSIX only).
    """
    return ["".join(piece.text for piece in pieces) for pieces in _split(text, windows=windows)]


def unknown_tokens(arguments: str, values: Mapping[str, str], *, windows: bool) -> list[str]:
    """Return the names of the tokens in *arguments* that have no value, sorted."""
    known = {name.casefold() for name in values} if windows else values.keys()
    names = set(_TOKEN.findall(arguments))
    return sorted(name for name in names if (name.casefold() if windows else name) not in known)


class FoundToken(NamedTuple):
    """A token of an argument string."""

    name: str
    quoted: bool


def tokens_in(arguments: str, *, windows: bool) -> list[FoundToken]:
    """Return the tokens in the order in which they stand.

    Raises:
        ArgumentsError: A quote is not closed (POSIX only).
    """
    pieces = (piece for argument in _split(arguments, windows=windows) for piece in argument)
    return [FoundToken(name, quoted) for text, quoted in pieces for name in _TOKEN.findall(text)]


def _rejoin(pieces: list[_Piece], changed: list[bool]) -> list[str]:
    """Join the pieces to arguments; a blank of an unquoted value separates them.

    An argument that is empty without quotes is none: `{Empty}` vanishes, `"{Empty}"` stays.
    """
    arguments: list[list[_Piece]] = [[]]
    for piece, is_new in zip(pieces, changed, strict=True):
        first, *others = _BLANKS.split(piece.text) if is_new and not piece.quoted else [piece.text]
        arguments[-1].append(_Piece(first, piece.quoted))
        arguments += [[_Piece(word, quoted=False)] for word in others]
    joined = (("".join(part.text for part in parts), parts) for parts in arguments)
    return [text for text, parts in joined if text or any(part.quoted for part in parts)]


def _split(text: str, *, windows: bool) -> list[list[_Piece]]:
    pieces = _windows_pieces(text) if windows else _posix_pieces(text)
    arguments: list[list[_Piece]] = []
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


def _posix_pieces(text: str) -> Iterator[_Piece | None]:
    """Yield the pieces; None stands for the blanks between two arguments."""
    position = 0
    while position < len(text):
        match = _POSIX_PIECE.match(text, position)
        if match is None:
            raise ArgumentsError(
                f"the arguments hold a quote that is not closed: {text[position:]}"
            )
        position = match.end()
        kind, found = match.lastgroup, match[match.lastgroup or 0]
        if kind == "blank":
            yield None
        elif kind == "double":
            yield _Piece(_POSIX_ESCAPE.sub(r"\1", found), quoted=True)
        else:
            yield _Piece(found, quoted=kind != "plain")


def _windows_pieces(text: str) -> Iterator[_Piece | None]:
    """Yield the pieces; 2n backslashes before a quote are n, and 2n+1 are n and a literal quote."""
    quoted, position = False, 0
    while position < len(text):
        match = _WINDOWS_PIECE.match(text, position)
        if match is None:
            raise ArgumentsError(f"the arguments cannot be split: {text[position:]}")
        position = match.end()
        if match["blank"]:
            yield _Piece(match["blank"], quoted=True) if quoted else None
        elif match["quote"]:
            half, odd = divmod(len(match["slashes"]), 2)
            literal = "\\" * half + ('"' if odd else "")
            if not odd and quoted and text[position : position + 1] == '"':
                literal, position = literal + '"', position + 1  # "" inside quotes is one quote
            elif not odd:
                quoted = not quoted
            yield _Piece(literal, quoted=True)
        else:
            yield _Piece(match["plain"], quoted)


_EVERYWHERE: Final = frozenset(
    {
        "rootdir",
        "documents",
        "userdocuments",
        "userdesktop",
        "hasdesktop",
        "approot",
        "pluginroot",
    }
)
_POSIX: Final = _EVERYWHERE | {"bin", "etc", "tmp", "usr", "var", "home"}

#: As the vendor lists them.
PATH_TOKEN_NAMES: Final[dict[OsName, frozenset[str]]] = {
    "windows": _EVERYWHERE
    | {
        "systemroot",
        "windows",
        "systemdrive",
        "system32",
        "syswow64",
        "programfiles",
        "programfilesx86",
        "userprofile",
        "appdata",
        "localappdata",
        "programdata",
        "temp",
    },
    "linux": _POSIX,
    "macOS": _POSIX | {"system", "library"},
}


#: Windows token names and the environment variable that holds each folder.
_WINDOWS_VARIABLES = {
    "systemroot": "SystemRoot",
    "windows": "SystemRoot",
    "systemdrive": "SystemDrive",
    "programfiles": "ProgramFiles",
    "programfilesx86": "ProgramFiles(x86)",
    "userprofile": "USERPROFILE",
    "appdata": "APPDATA",
    "localappdata": "LOCALAPPDATA",
    "programdata": "ProgramData",
    "temp": "TEMP",
}


def path_tokens(
    root: AgentRoot, environ: Mapping[str, str] = os.environ, *, platform: str = sys.platform
) -> dict[str, str]:
    """Return the folder, as text, of each path token that *platform* has.

    The user's folders are those of the account that runs the agent.
    """
    home = Path.home()
    common = {
        "rootdir": home.anchor,
        "documents": str(home / "Documents"),
        "userdocuments": str(home / "Documents"),
        "userdesktop": str(home / "Desktop"),
        "hasdesktop": str(_has_desktop(environ, platform)).lower(),
        "approot": str(root.path),
        "pluginroot": str(root.plugins),
    }
    return common | (
        _windows_folders(environ) if platform == "win32" else _posix_folders(home, platform)
    )


def _posix_folders(home: Path, platform: str) -> dict[str, str]:
    folders = {
        "bin": "/bin",
        "etc": "/etc",
        "tmp": tempfile.gettempdir(),
        "usr": "/usr",
        "var": "/var",
        "home": str(home),
    }
    if platform == "darwin":
        folders |= {"system": "/System", "library": "/Library"}
    return folders


def _windows_folders(environ: Mapping[str, str]) -> dict[str, str]:
    folders = {
        token: environ[variable]
        for token, variable in _WINDOWS_VARIABLES.items()
        if variable in environ
    }
    if "systemroot" in folders:
        folders["system32"] = ntpath.join(folders["systemroot"], "System32")
        folders["syswow64"] = ntpath.join(folders["systemroot"], "SysWOW64")
    return folders


def _has_desktop(environ: Mapping[str, str], platform: str) -> bool:
    if platform in {"win32", "darwin"}:
        return True
    return "DISPLAY" in environ or "WAYLAND_DISPLAY" in environ
