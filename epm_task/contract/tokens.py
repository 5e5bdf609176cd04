"""Fill the tokens in braces of a task's arguments, as the agent does when the job runs.

The argument string is split first; values enter after the split. So a value can neither open nor
close a quote, and inside quotes it stays one argument, whatever it holds. A value outside quotes is
split at its blanks, as text that was substituted before the split would be: an author who forgot
the quotes sees it here, not on the endpoint.
"""

from __future__ import annotations

import json
import ntpath
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.contract.argument_line import POSIX_BLANKS, WINDOWS_BLANKS, Piece, split_line
from epm_task.contract.names import EVENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from epm_task.contract.layout import AgentRoot
    from epm_task.contract.names import OsName


#: The event of a run that a person starts; ours.
BY_HAND: Final = "Manual"
#: Letters first, so that JSON written by hand in an argument is not taken for a token.
_TOKEN: Final = re.compile(r"\{([A-Za-z][\w.-]*)\}")
#: Beyond it nobody has mistyped a name, and the comparison takes long.
_LONGEST_NAME: Final = 100


def substitute(arguments: str, values: Mapping[str, str], *, windows: bool) -> list[str]:
    """Return the argv that *arguments* means, with *values* in place of the tokens.

    A token without a value stays as it is: the task then fails and names it. On Windows the case of
    names does not count.

    Raises:
        ArgumentsError: A quote is not closed (POSIX only; Windows takes the rest of the string).
    """
    known = {name.casefold(): value for name, value in values.items()} if windows else values

    def value_of(match: re.Match[str]) -> str:
        """Return the token's value, or the token itself when it has none."""
        return known.get(match[1].casefold() if windows else match[1], match[0])

    blanks = re.compile(f"[{WINDOWS_BLANKS if windows else POSIX_BLANKS}]+")
    argv: list[str] = []
    for pieces in split_line(arguments, windows=windows):
        filled = [Piece(_TOKEN.sub(value_of, text), quoted) for text, quoted in pieces]
        changed = [after.text != before.text for before, after in zip(pieces, filled, strict=True)]
        argv += _rejoin(filled, changed, blanks)
    return argv


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
    """Return the tokens in their order.

    Raises:
        ArgumentsError: A quote is not closed (POSIX only).
    """
    pieces = (piece for argument in split_line(arguments, windows=windows) for piece in argument)
    return [FoundToken(name, quoted) for text, quoted in pieces for name in _TOKEN.findall(text)]


def unused_values(job: Mapping[str, Any], names: Iterable[str], *, windows: bool) -> list[str]:
    """Return those *names* of an event context that no parameter and no token of *job* has."""
    used = {*_declared(job), *_TOKEN.findall(json.dumps(job, default=str))}
    used = {name.casefold() for name in used} if windows else used
    return [name for name in names if (name.casefold() if windows else name) not in used]


def parameter_meant(job: Mapping[str, Any], name: str) -> str:
    """Return the question for the parameter that *name* resembles, or which ones the job has."""
    declared = _declared(job)
    return nearest(name, declared) or f"the job has {', '.join(declared) or 'no parameters'}"


def by_hand(job: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the context of a run that a person starts.

    A job with a parameter for the event's type, as one with `spread_minutes` has, is told so, and
    its tasks begin at once.
    """
    return {EVENT_TYPE: BY_HAND, **context} if EVENT_TYPE in _declared(job) else dict(context)


def _declared(job: Mapping[str, Any]) -> list[str]:
    found = job.get("parameters")
    return [str(each.get("name")) for each in found or () if isinstance(each, dict)]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the question whether a similar one of the *known* names was meant, or ""."""
    from difflib import get_close_matches  # noqa: PLC0415  # only a mistake pays for it

    folded = {each.casefold(): each for each in known}
    near = get_close_matches(name[:_LONGEST_NAME].casefold(), folded, n=1)
    return f"did you mean {folded[near[0]]}?" if near else ""


def _rejoin(pieces: list[Piece], changed: list[bool], blanks: re.Pattern[str]) -> list[str]:
    """Join the pieces to arguments; a blank of an unquoted value separates them.

    An argument that is empty without quotes is left out: `{Empty}` vanishes, `"{Empty}"` stays.
    """
    arguments: list[list[Piece]] = [[]]
    for piece, is_new in zip(pieces, changed, strict=True):
        first, *others = blanks.split(piece.text) if is_new and not piece.quoted else [piece.text]
        arguments[-1].append(Piece(first, piece.quoted))
        arguments += [[Piece(word, quoted=False)] for word in others]
    joined = (("".join(part.text for part in parts), parts) for parts in arguments)
    return [text for text, parts in joined if text or any(part.quoted for part in parts)]


#: Tokens of Windows and the environment variable that holds each folder.
_WINDOWS_VARIABLES: Final = {
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


_EVERYWHERE: Final = frozenset(
    ("rootdir", "documents", "userdocuments", "userdesktop", "hasdesktop", "approot", "pluginroot")
)
_POSIX: Final = _EVERYWHERE | {"bin", "etc", "tmp", "usr", "var", "home"}

#: As the vendor lists them.
PATH_TOKEN_NAMES: Final[dict[OsName, frozenset[str]]] = {
    "windows": _EVERYWHERE.union(_WINDOWS_VARIABLES, ("system32", "syswow64")),
    "linux": _POSIX,
    "macOS": _POSIX | {"system", "library"},
}


def path_tokens(
    root: AgentRoot, environ: Mapping[str, str] = os.environ, *, platform: str = sys.platform
) -> dict[str, str]:
    """Return the folder, as text, of each path token that *platform* has.

    The user's folders are those of the account that runs the agent.
    """
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and a user id that the system does not know, as in containers
        home = Path(root.path.anchor)
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
