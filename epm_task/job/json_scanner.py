"""A JSON scanner reads a text once, and notes where each value stands."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

from epm_task.job.exact_number import read_number
from epm_task.job.pointer import child

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
