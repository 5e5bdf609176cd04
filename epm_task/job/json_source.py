"""A JSON source is a text with its value, and with the place of every part of the value."""

from __future__ import annotations

import codecs
import json
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.contract.json_text import read_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


#: What an agent takes as the body of a request; a job has a few kilobytes.
MAX_BYTES: Final = 1024 * 1024

_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Place(NamedTuple):
    """A place in a text, both numbers from 1; the column counts characters."""

    line: int
    column: int


class BadSource(ValueError):
    """A text that is no JSON document.

    Attributes:
        place: Where that shows.
        pointer: The value that was being read; empty for the whole document.
        why: What is wrong, with what to do.
    """

    def __init__(self, place: Place, pointer: str, why: str) -> None:
        super().__init__(f"line {place.line}, column {place.column}: {why}")
        self.place = place
        self.pointer = pointer
        self.why = why


class JsonSource:
    """The value of a text, and the place of each of its parts.

    Attributes:
        text: The text, without a byte order mark.
        value: What it holds. Numbers with a fraction or an exponent keep their digits.
    """

    def __init__(self, text: str, value: Any, offsets: Mapping[str, Offsets]) -> None:
        """Take what `read_source` found."""
        self.text = text
        self.value = value
        self._offsets = offsets
        self._starts = _line_starts(text)

    def place(self, pointer: str, *, of_key: bool = False) -> Place:
        """Return where the value at *pointer* stands, or the nearest that holds it.

        Args:
            pointer: A JSON pointer.
            of_key: The place of the value's name instead.
        """
        while pointer not in self._offsets and pointer:
            pointer = parent(pointer)
        offsets = self._offsets[pointer]
        return _place(self._starts, offsets.key if of_key else offsets.value)


def read_source(data: bytes) -> JsonSource:
    """Return the document that *data* holds: UTF-8, with or without a byte order mark.

    Raises:
        BadSource: It is too long, no UTF-8, no JSON, nested too deeply, or has a name twice.
    """
    text = _decoded(data)
    scanner = JsonScanner(text)
    try:
        value = scanner.read()
    except ScanError as error:
        place = _place(_line_starts(text), error.offset)
        raise BadSource(place, error.pointer, error.why) from None
    return JsonSource(text, value, scanner.offsets)


def _decoded(data: bytes) -> str:
    start = Place(1, 1)
    if len(data) > MAX_BYTES:
        why = f"it has more than {MAX_BYTES} bytes; give the file of a job"
        raise BadSource(start, "", why)
    if data.startswith(_UTF_16) or b"\0" in data[:4]:
        raise BadSource(start, "", "this is UTF-16 or UTF-32; save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        place = _place(_line_starts(before), len(before))
        raise BadSource(place, "", "this is not UTF-8; save the file as UTF-8") from None
    if not text.strip():
        raise BadSource(start, "", "it is empty; `epm-task job FILE` writes a job document")
    return text


def _line_starts(text: str) -> list[int]:
    starts = [0]
    position = text.find("\n")
    while position >= 0:
        starts.append(position + 1)
        position = text.find("\n", position + 1)
    return starts


def _place(starts: list[int], offset: int) -> Place:
    line = bisect_right(starts, offset)
    return Place(line, offset - starts[line - 1] + 1)


#: The default of .NET's JSON reader, on which an agent with Kestrel rests.
MAX_DEPTH: Final = 64

_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORD: Final = re.compile(r"-?[A-Za-z]+")
_DECODER: Final = json.JSONDecoder()
_LITERALS: Final = {"true": True, "false": False, "null": None}


class ScanError(ValueError):
    """The text is no JSON.

    Attributes:
        offset: Where that shows, in characters.
        pointer: The value that was being read.
        why: What is wrong, with what to do.
    """

    def __init__(self, offset: int, pointer: str, why: str) -> None:
        super().__init__(why)
        self.offset = offset
        self.pointer = pointer
        self.why = why


class Offsets(NamedTuple):
    """Where a value stands, in characters.

    Attributes:
        value: Of the value.
        key: Of its name when an object holds it, else the same as `value`.
    """

    value: int
    key: int


class JsonScanner:
    """Reads one text.

    Attributes:
        offsets: Where each value stands, by JSON pointer.
    """

    def __init__(self, text: str) -> None:
        """Take the text; nothing is read yet."""
        self._text = text
        self.offsets: dict[str, Offsets] = {}

    def read(self) -> Any:
        """Return the one value of the text.

        Raises:
            ScanError: It is no JSON.
        """
        value, end = self._value(self._skip(0), "", 0, None)
        if (rest := self._skip(end)) < len(self._text):
            raise self._fault(rest, "", "something follows the end of the document; remove it")
        return value

    def _value(self, start: int, pointer: str, depth: int, key: int | None) -> tuple[Any, int]:
        self.offsets[pointer] = Offsets(start, start if key is None else key)
        if depth > MAX_DEPTH:
            raise self._fault(start, pointer, f"it is nested more than {MAX_DEPTH} deep")
        opening = self._text[start : start + 1]
        if opening == "{":
            return self._object(start + 1, pointer, depth)
        if opening == "[":
            return self._array(start + 1, pointer, depth)
        if opening == '"':
            return self._string(start, pointer)
        return self._scalar(start, pointer)

    def _object(self, position: int, pointer: str, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        position = self._skip(position)
        if self._text[position : position + 1] == "}":
            return found, position + 1
        while True:
            key_start = self._skip(position)
            key, position = self._key(key_start, pointer)
            inner = child(pointer, key)
            if key in found:
                raise self._fault(key_start, inner, f"the name {key!r} stands twice; remove one")
            position = self._expect(self._skip(position), ":", pointer, "after a name")
            found[key], position = self._value(self._skip(position), inner, depth + 1, key_start)
            position, ended = self._next(position, "}", pointer)
            if ended:
                return found, position

    def _array(self, position: int, pointer: str, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        position = self._skip(position)
        if self._text[position : position + 1] == "]":
            return found, position + 1
        while True:
            inner = child(pointer, len(found))
            value, position = self._value(self._skip(position), inner, depth + 1, None)
            found.append(value)
            position, ended = self._next(position, "]", pointer)
            if ended:
                return found, position

    def _key(self, position: int, pointer: str) -> tuple[str, int]:
        if self._text[position : position + 1] != '"':
            raise self._fault(position, pointer, "a name in double quotes is needed here")
        return self._string(position, pointer)

    def _string(self, position: int, pointer: str) -> tuple[str, int]:
        try:
            text, end = _DECODER.raw_decode(self._text, position)
        except json.JSONDecodeError as error:
            why = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
            raise self._fault(error.pos, pointer, f"{why}; correct the text in quotes") from None
        return str(text), end

    def _scalar(self, position: int, pointer: str) -> tuple[Any, int]:
        if (number := _NUMBER.match(self._text, position)) is not None:
            try:
                return read_number(number[0]), number.end()
            except ValueError as error:
                raise self._fault(position, pointer, str(error)) from None
        word = _WORD.match(self._text, position)
        if word is not None and word[0] in _LITERALS:
            return _LITERALS[word[0]], word.end()
        if word is not None:
            raise self._fault(position, pointer, f"{word[0][:20]} is no JSON value; quote a text")
        raise self._fault(position, pointer, f"a value is needed here, not {self._shown(position)}")

    def _next(self, position: int, closing: str, pointer: str) -> tuple[int, bool]:
        """Return the position after the comma or the closing bracket, and whether it was that."""
        position = self._skip(position)
        if self._text[position : position + 1] == closing:
            return position + 1, True
        comma = position
        position = self._expect(position, ",", pointer, f"or {closing}")
        after = self._skip(position)
        if self._text[after : after + 1] == closing:
            raise self._fault(
                comma, pointer, f"the comma before {closing} is one too many; remove it"
            )
        return position, False

    def _expect(self, position: int, character: str, pointer: str, context: str) -> int:
        if self._text[position : position + 1] != character:
            found = self._shown(position)
            raise self._fault(
                position, pointer, f"{character} {context} is needed here, not {found}"
            )
        return position + 1

    def _skip(self, position: int) -> int:
        match = _BLANKS.match(self._text, position)
        return match.end() if match else position

    def _shown(self, position: int) -> str:
        if position >= len(self._text):
            return "the end of the text"
        if self._text.startswith(("//", "/*"), position):
            return "a comment, which JSON has not"
        return repr(self._text[position])

    def _fault(self, offset: int, pointer: str, why: str) -> ScanError:
        return ScanError(offset, pointer, why)


def child(pointer: str, key: str | int) -> str:
    """Return the pointer of an entry of the object or array at *pointer*."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def pointer_to(keys: Iterable[str | int]) -> str:
    """Return the pointer that follows *keys* from the root."""
    pointer = ""
    for key in keys:
        pointer = child(pointer, key)
    return pointer


def parent(pointer: str) -> str:
    """Return the pointer of the object or array that holds the value at *pointer*."""
    return pointer.rpartition("/")[0]


def present_keys(value: Any, keys: Iterable[str | int]) -> list[str | int]:
    """Return those of *keys*, in order, that lead somewhere when followed from *value*."""
    followed: list[str | int] = []
    for key in keys:
        if not _leads(value, key):
            continue
        value = value[key]
        followed.append(key)
    return followed


def _leads(value: Any, key: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and key < len(value)
    return isinstance(value, dict) and key in value
