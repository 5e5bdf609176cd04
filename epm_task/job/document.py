"""Hold a job document: the object, its text, and where it is wrong."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.contract.json_text import INDENT, MAX_BYTES, BadJson, format_json
from epm_task.job.json_source import JsonSource, Place, pointer_to, present_keys, read_source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


#: Pydantic's kinds of error, for people who never heard of it.
_IN_WORDS = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be an array",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "string_pattern_mismatch": "may hold letters, digits, `.` and `-` only",
    "greater_than_equal": "must be at least 1",
    "less_than_equal": "must be at most 10",
    "too_short": "must not be empty",
}


class Misfit(NamedTuple):
    """A part of a document that is not what the model says.

    Attributes:
        pointer: The part; the object that lacks it when it is missing.
        field: Its last name, for people.
        why: What it must be.
        missing: Whether it is not there at all.
    """

    pointer: str
    field: str
    why: str
    missing: bool


class JobDocument:
    """One job document.

    Attributes:
        raw: The object itself, with its unknown fields and the order of its names; not changed.
        source: The text that it came from; None when it was made by a program.
    """

    def __init__(self, raw: Mapping[str, Any], source: JsonSource | None = None) -> None:
        self.raw: dict[str, Any] = raw if isinstance(raw, dict) else dict(raw)
        self.source = source

    @classmethod
    def parse(cls, data: bytes) -> JobDocument:
        """Return the document in *data*.

        Raises:
            BadJson: It is not a JSON object in UTF-8.
        """
        source = read_source(data)
        if not isinstance(source.value, dict):
            raise BadJson("a job is an object, in braces", place=source.place(""))
        return cls(source.value, source)

    @cached_property
    def misfits(self) -> tuple[Misfit, ...]:
        """Where the document is not what the model says."""
        from pydantic import ValidationError  # noqa: PLC0415  # 60 ms

        from epm_task.job.model import JobModel  # noqa: PLC0415  # as above

        try:
            JobModel.model_validate(self.raw)
        except ValidationError as error:
            first: dict[object, Misfit] = {}
            for problem in error.errors(include_input=False, include_url=False):
                location = problem["loc"]
                # An event may be an object or a name; what it is not as the first says enough.
                part = location[:2] if location[0] == "events" else location
                first.setdefault(part, self._misfit(location, problem))
            return tuple(first.values())
        return ()

    def place(self, pointer: str, *, of_key: bool = False) -> Place | None:
        """Return where the value at *pointer* is in the text; None without a text."""
        return self.source.place(pointer, of_key=of_key) if self.source else None

    def text(self, value: Mapping[str, Any]) -> str:
        """Return *value* as JSON, indented as the text that this document came from."""
        indent = indent_of(self.source.text) if self.source else INDENT
        return format_json(value, indent=indent)

    def _misfit(self, location: tuple[str | int, ...], problem: Mapping[str, Any]) -> Misfit:
        # The alternatives of a type have names in the location that the document does not have.
        keys = present_keys(self.raw, location)
        kind, message = str(problem["type"]), str(problem["msg"])
        why = _IN_WORDS.get(kind) or f"is wrong: {message[:1].lower()}{message[1:]}"
        missing = kind == "missing"
        field = str(location[-1] if missing else (keys or ["job"])[-1])
        return Misfit(pointer_to(keys), field, why, missing)


_FIRST_INDENT: Final = re.compile(r"^[{\[]\s*?\n([ \t]+)")


def read_job(file: Path) -> JobDocument:
    """Return the document in *file*.

    Raises:
        BadJson: The file holds no job document.
        OSError: The file cannot be read.
    """
    with file.open("rb") as stream:
        return JobDocument.parse(stream.read(MAX_BYTES + 1))


def read_present(file: Path) -> JobDocument | None:
    """Return the document in *file* that is to be written anew; None when no such file exists.

    Raises:
        BadJson: The file holds no job document; `what` names the file and the place.
        OSError: The file cannot be read.
    """
    try:
        return read_job(file)
    except FileNotFoundError:
        return None
    except BadJson as error:
        line, column = error.place
        what = f"{file}:{line}:{column}: this is not a job document"
        fix = "correct it, or remove the file and write it anew with `epm-task job`"
        raise BadJson(error.why, fix, what=what) from None


def indent_of(text: str) -> str:
    """Return the blanks by which *text* indents its first line, two when it has none."""
    match = _FIRST_INDENT.match(text)
    return match[1] if match else INDENT
