"""A job document is the ordered object of a job, with its typed view and its places."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from epm_task.job.json_source import BadSource, JsonSource, Place, read_source
from epm_task.job.json_writer import INDENT, encoded, indent_of, write_document
from epm_task.job.pointer import pointer_to, present_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.job.model import JobModel

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
    """

    pointer: str
    field: str
    why: str


class JobDocument:
    """One job document.

    Attributes:
        raw: The object itself. Unknown fields and the order of names are part of it; it is the
            truth, and everything else is a view of it. It must not be changed.
        source: The text that it came from; None when it was made by a program.
    """

    def __init__(self, raw: Mapping[str, Any], source: JsonSource | None = None) -> None:
        """Take the object, and the text that it came from."""
        self.raw = raw if isinstance(raw, dict) else dict(raw)
        self.source = source

    @classmethod
    def parse(cls, data: bytes) -> JobDocument:
        """Return the document in *data*.

        Raises:
            BadSource: It is no JSON object in UTF-8; the error names line, column and pointer.
        """
        source = read_source(data)
        if not isinstance(source.value, dict):
            raise BadSource(source.place(""), "", "a job is an object, in braces")
        return cls(source.value, source)

    @cached_property
    def model(self) -> JobModel:
        """The typed view.

        Raises:
            pydantic.ValidationError: The document has another shape; `misfits` says it with places.
        """
        from epm_task.job.model import JobModel  # noqa: PLC0415  # pydantic: 60 ms

        return JobModel.model_validate(self.raw)

    @cached_property
    def misfits(self) -> tuple[Misfit, ...]:
        """Where the document is not what the model says; empty when `model` can be used."""
        from pydantic import ValidationError  # noqa: PLC0415  # as above

        try:
            _ = self.model
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
        """Return where the value at *pointer* stands in the file; None without a file."""
        return self.source.place(pointer, of_key=of_key) if self.source else None

    def text(self) -> str:
        """Return the document as JSON; the indent is that of the text that it came from."""
        indent = indent_of(self.source.text) if self.source else INDENT
        return write_document(self.raw, indent=indent)

    def to_bytes(self) -> bytes:
        """Return `text()` in UTF-8."""
        return encoded(self.text())

    def _misfit(self, location: tuple[str | int, ...], problem: Mapping[str, Any]) -> Misfit:
        # The alternatives of a type have names in the location that are no keys of the document.
        keys = present_keys(self.raw, location)
        kind, message = str(problem["type"]), str(problem["msg"])
        why = _IN_WORDS.get(kind) or f"is wrong: {message[:1].lower()}{message[1:]}"
        missing = kind == "missing"
        field = str(location[-1] if missing else (keys or ["job"])[-1])
        return Misfit(pointer_to(keys), field, why)
