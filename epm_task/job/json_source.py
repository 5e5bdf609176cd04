"""Read a JSON text together with the place of each value, so that a finding can point at it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.contract.json_text import (
    MAX_DEPTH,
    BadJson,
    check_size,
    decode,
    place_in,
    read_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORD: Final = re.compile(r"-?[A-Za-z]+")
_DECODER: Final = json.JSONDecoder()
_LITERALS: Final = {"true": True, "false": False, "null": None}


class Place(NamedTuple):
    """A place in a text, both numbers from 1; the column counts characters."""

    line: int
    column: int


class JsonSource:
    """The value of a text, and the place of each of its parts.

    Attributes:
        text: The text, without a byte order mark.
        value: What it holds. Numbers with a fraction or an exponent keep their digits.
    """

    def __init__(self, text: str) -> None:
        """Read the text.

        Raises:
            BadJson: It is not JSON, nested too deeply, or has a name twice in one object.
        """
        self.text = text
        #: By pointer: where a value is, and where its name is when an object holds it.
        self._offsets: dict[str, tuple[int, int]] = {}
        self.value: Any
        self.value, end = self._value(self._skip(0), "", 0)
        if (rest := self._skip(end)) < len(text):
            raise self._fault(rest, "", "something follows the end of the document", "remove it")

    def place(self, pointer: str, *, of_key: bool = False) -> Place:
        """Return where the value at *pointer*, or its name, is, or the nearest that holds it."""
        while pointer not in self._offsets and pointer:
            pointer = pointer.rpartition("/")[0]
        return Place(*place_in(self.text, self._offsets[pointer][of_key]))

    def _value(
        self, start: int, pointer: str, depth: int, key: int | None = None
    ) -> tuple[Any, int]:
        self._offsets[pointer] = (start, start if key is None else key)
        if depth > MAX_DEPTH:
            why = f"it is nested more than {MAX_DEPTH} deep"
            raise self._fault(start, pointer, why)
        opening = self.text[start : start + 1]
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
        if self.text[position : position + 1] == "}":
            return found, position + 1
        while True:
            start = self._skip(position)
            if self.text[start : start + 1] != '"':
                raise self._fault(start, pointer, "a name in double quotes is needed here")
            key, position = self._string(start, pointer)
            inner = child(pointer, key)
            if key in found:
                why = f"the name {key!r} is in one object twice"
                raise self._fault(start, inner, why, "remove one")
            position = self._expect(self._skip(position), ":", pointer, "after a name")
            found[key], position = self._value(self._skip(position), inner, depth + 1, start)
            position, ended = self._next(position, "}", pointer)
            if ended:
                return found, position

    def _array(self, position: int, pointer: str, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        position = self._skip(position)
        if self.text[position : position + 1] == "]":
            return found, position + 1
        while True:
            inner = child(pointer, len(found))
            value, position = self._value(self._skip(position), inner, depth + 1)
            found.append(value)
            position, ended = self._next(position, "]", pointer)
            if ended:
                return found, position

    def _string(self, position: int, pointer: str) -> tuple[str, int]:
        try:
            text, end = _DECODER.raw_decode(self.text, position)
        except json.JSONDecodeError as error:
            why = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
            raise self._fault(error.pos, pointer, why, "correct the text in quotes") from None
        return str(text), end

    def _scalar(self, position: int, pointer: str) -> tuple[Any, int]:
        if (number := _NUMBER.match(self.text, position)) is not None:
            try:
                return read_number(number[0]), number.end()
            except BadJson as error:
                raise self._fault(position, pointer, error.why, error.fix) from None
        word = _WORD.match(self.text, position)
        if word is None:
            why = f"a value is needed here, not {self._shown(position)}"
            raise self._fault(position, pointer, why)
        if word[0] not in _LITERALS:
            raise self._fault(position, pointer, f"{word[0][:20]} is not JSON", "quote a text")
        return _LITERALS[word[0]], word.end()

    def _next(self, position: int, closing: str, pointer: str) -> tuple[int, bool]:
        """Return the position after the comma or the closing bracket, and whether it was that."""
        position = self._skip(position)
        if self.text[position : position + 1] == closing:
            return position + 1, True
        comma = position
        position = self._expect(position, ",", pointer, f"or {closing}")
        after = self._skip(position)
        if self.text[after : after + 1] == closing:
            why = f"the comma before {closing} is one too many"
            raise self._fault(comma, pointer, why, "remove it")
        return position, False

    def _expect(self, position: int, character: str, pointer: str, context: str) -> int:
        if self.text[position : position + 1] != character:
            why = f"{character} {context} is needed here, not {self._shown(position)}"
            raise self._fault(position, pointer, why)
        return position + 1

    def _skip(self, position: int) -> int:
        match = _BLANKS.match(self.text, position)
        return match.end() if match else position

    def _shown(self, position: int) -> str:
        if position >= len(self.text):
            return "the end of the text"
        if self.text.startswith(("//", "/*"), position):
            return "a comment, which JSON does not have"
        return repr(self.text[position])

    def _fault(self, offset: int, pointer: str, why: str, fix: str = "correct it") -> BadJson:
        return BadJson(why, fix, place=place_in(self.text, offset), pointer=pointer)


def read_source(data: bytes) -> JsonSource:
    """Return the document that *data* holds: UTF-8, with or without a byte order mark.

    Raises:
        BadJson: It is too long, not UTF-8, not JSON, nested too deeply, or has a name twice.
    """
    check_size(data)
    text = decode(data)
    if not text.strip():
        raise BadJson("it is empty", "write it with `epm-task job FILE`", place=(1, 1))
    return JsonSource(text)


def child(pointer: str, key: str | int) -> str:
    """Return the pointer of an entry of the object or array at *pointer*."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def pointer_to(keys: Iterable[str | int]) -> str:
    """Return the pointer that follows *keys* from the root."""
    return "".join(child("", key) for key in keys)


def present_keys(value: Any, keys: Iterable[str | int]) -> list[str | int]:
    """Return those of *keys*, in order, that lead somewhere when followed from *value*."""
    followed: list[str | int] = []
    for key in keys:
        in_list = isinstance(value, list) and isinstance(key, int) and key < len(value)
        if in_list or (isinstance(value, dict) and key in value):
            value = value[key]
            followed.append(key)
    return followed
