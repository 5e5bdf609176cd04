"""A JSON source is a text with its value, and with the place of every part of the value."""

from __future__ import annotations

import codecs
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.job.json_scanner import JsonScanner, Offsets, ScanError
from epm_task.job.pointer import parent

if TYPE_CHECKING:
    from collections.abc import Mapping

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
