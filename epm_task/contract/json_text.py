"""Read and write JSON strictly: what comes from a file or over HTTP may be anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Self

from epm_task.errors import EpmTaskError, UnsafeConfiguration

if TYPE_CHECKING:
    from pathlib import Path

#: What an agent takes as the body of a request; jobs and settings have a few kilobytes.
MAX_BYTES: Final = 1024 * 1024

INDENT: Final = "  "
#: The default of .NET's JSON reader, on which an agent with Kestrel rests.
MAX_DEPTH: Final = 64
#: Python refuses to convert longer ones, because that takes quadratic time.
_MAX_DIGITS: Final = 4300
#: What UTF-16 text begins with.
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


class BadJson(EpmTaskError, ValueError):
    """A text is not the JSON that is needed.

    Attributes:
        place: Line and column, counted from 1, in characters; (0, 0) when no place can be named.
        pointer: The value that was being read; empty for the whole document.
    """

    def __init__(
        self,
        why: str,
        fix: str = "correct it",
        *,
        place: tuple[int, int] = (0, 0),
        pointer: str = "",
        what: str = "it is not usable JSON",
    ) -> None:
        """Take the reason and the place; *what* is for when no place is known."""
        line, column = place
        super().__init__(f"line {line}, column {column}" if line else what, why, fix)
        self.place = place
        self.pointer = pointer

    @property
    def line(self) -> int:
        """The line, counted from 1; 0 when no place can be named."""
        return self.place[0]


def parse_json(data: bytes | str) -> Any:
    """Return the value that *data* holds: UTF-8, with or without a byte order mark.

    Raises:
        BadJson: It is not UTF-8, not JSON, nested too deeply, has a name twice in one object, or a
            number that JSON does not have.
    """
    text = data if isinstance(data, str) else decode(data)
    try:
        value = _READER.decode(text)
    except json.JSONDecodeError as error:
        place = (error.lineno, error.colno)
        raise BadJson(f"it is not JSON ({error.msg})", place=place) from None
    except RecursionError:
        raise BadJson(_TOO_DEEP) from None
    except BadJson:
        raise
    except ValueError as error:  # Python's own limit of digits
        raise BadJson(str(error)) from None
    if text.count("{") + text.count("[") > MAX_DEPTH:  # few texts have so many
        _check_depth(text)
    return value


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that *data* holds.

    Raises:
        BadJson: As `parse_json`, or the value is not an object.
    """
    value = parse_json(data)
    if not isinstance(value, dict):
        raise BadJson("it is not an object; a JSON object is needed, in braces", place=(1, 1))
    return value


def read_object(path: Path, *, any_kind: bool = False) -> dict[str, Any]:
    """Return the JSON object in a file of at most 1 MiB.

    Args:
        path: The file.
        any_kind: It may be a pipe too, as a shell's `<(command)` makes one.

    Raises:
        BadJson: The file cannot be read, is larger, or does not hold a JSON object.
    """
    from epm_task.trust import open_regular  # noqa: PLC0415  # a task reads no file in its run

    try:
        with path.open("rb") if any_kind else open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except UnsafeConfiguration as error:
        raise BadJson(error.why, error.fix, what="it cannot be read") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise BadJson(why, "check its path and its rights", what="it cannot be read") from None
    check_size(data)
    return parse_object(data)


def write_json(value: object) -> bytes:
    """Return *value* as readable JSON in UTF-8, with a newline at the end."""
    return encoded(format_json(value))


def format_json(value: object, *, indent: str = INDENT) -> str:
    """Return *value* as readable JSON that ends with a newline; the order of names is kept."""
    return f"{_written(value, indent, 0)}\n"


def encoded(text: str) -> bytes:
    """Return the text in UTF-8; a lone surrogate becomes the escape that it came from."""
    return text.encode("utf-8", "backslashreplace")


def check_size(data: bytes) -> None:
    """Refuse more than 1 MiB.

    Raises:
        BadJson: It is more.
    """
    if len(data) > MAX_BYTES:
        raise BadJson(f"it has more than {MAX_BYTES} bytes", "give another file", place=(1, 1))


def decode(data: bytes) -> str:
    """Return the text, without a byte order mark.

    Raises:
        BadJson: It is not UTF-8.
    """
    if data.startswith(_UTF_16) or b"\0" in data[:4]:
        raise BadJson("it is UTF-16 or UTF-32, not UTF-8", "save it as UTF-8", place=(1, 1))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        raise BadJson(
            "it is not UTF-8", "save it as UTF-8", place=place_in(before, len(before))
        ) from None


def place_in(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of a character, both from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


class ExactNumber(float):
    """A float with its text, so that 1.10 stays 1.10 when a document is written again."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Read the text; one that no float can hold is refused.

        Raises:
            BadJson: It is beyond the range of a float.
        """
        number = float.__new__(cls, _finite(text))
        number.text = text
        return number


def read_number(text: str) -> int | ExactNumber:
    """Return the number that JSON writes as *text*.

    Raises:
        BadJson: It is too large, or has too many digits.
    """
    if text == "-0" or any(character in text for character in ".eE"):
        return ExactNumber(text)
    if len(text) > _MAX_DIGITS:
        raise BadJson(f"the number {text[:20]}… has too many digits", "shorten it")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadJson(f"the name {twice[:40]!r} is in one object twice", "remove one")
    return found


_TOO_DEEP: Final = f"it is nested too deeply: more than {MAX_DEPTH} levels"


def _check_depth(text: str) -> None:
    # What Python's reader lets pass, whoever walks through it later could not.
    outside = "0".join(text.replace(r"\\", "").replace(r"\"", "").split('"')[::2])
    filled = "".join(outside.split()).replace("[]", "").replace("{}", "")
    brackets = filled.encode().translate(_ROUND, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return
        brackets = brackets.replace(b"()", b"")  # the innermost level
    if brackets:
        raise BadJson(_TOO_DEEP)


_ROUND: Final = bytes.maketrans(b"[{}]", b"(())")
_NO_BRACKETS: Final = bytes(range(256)).translate(None, b"[{}]")


def _refuse(name: str) -> float:
    raise BadJson(f"it holds {name}, which is not JSON")


_INFINITE: Final = frozenset({float("inf"), float("-inf")})


def _finite(text: str) -> float:
    number = float(text)
    if number in _INFINITE:
        raise BadJson(f"the number {text[:20]} is too large")
    return number


_READER: Final = json.JSONDecoder(
    parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique
)


def _written(value: Any, indent: str, depth: int) -> str:
    if isinstance(value, dict):
        # A name that is not text becomes one, as in the standard library.
        named = [(k if isinstance(k, str) else _scalar(k), v) for k, v in value.items()]
        pairs = [f"{_scalar(name)}: {_written(v, indent, depth + 1)}" for name, v in named]
        return _bracketed("{}", pairs, indent, depth)
    if isinstance(value, list | tuple):
        items = [_written(item, indent, depth + 1) for item in value]
        return _bracketed("[]", items, indent, depth)
    return _scalar(value)


def _bracketed(brackets: str, items: list[str], indent: str, depth: int) -> str:
    if not items:
        return brackets
    inner = f",\n{indent * (depth + 1)}".join(items)
    return f"{brackets[0]}\n{indent * (depth + 1)}{inner}\n{indent * depth}{brackets[1]}"


def _scalar(value: Any) -> str:
    if isinstance(value, ExactNumber):
        return value.text
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
