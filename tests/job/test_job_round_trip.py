"""Tests of the way of a value: declared, job document, argument line, substituted, parsed."""

from __future__ import annotations

import enum
import ipaddress
import re
import uuid
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, HttpUrl, PositiveInt, SecretStr
from pydantic.types import Json

from epm_task import task
from epm_task.contract.json_text import parse_object, write_json
from epm_task.contract.tokens import substitute
from epm_task.errors import DefinitionError
from epm_task.job import Job
from epm_task.runtime.invocation import parse_arguments
from epm_task.simulator.jobs.command import run_values

if TYPE_CHECKING:
    from epm_task.runtime.task import Task


class Level(enum.Enum):
    """A choice."""

    LOW = "low {x}"
    HIGH = "[high]"


class Number(enum.IntEnum):
    """A choice of numbers, one of them false."""

    NONE = 0
    ONE = 1


class Window(BaseModel):
    """A model."""

    start: int = 0
    label: str = ""
    age: timedelta = timedelta()


@dataclass
class Span:
    """A dataclass."""

    start: Path
    size: Decimal


Port = NewType("Port", int)


def declared(kind: Any, default: Any) -> Task[..., Any]:
    """Return a task with one parameter of that type and that default."""

    def handler(*, value: Any) -> None: ...

    handler.__annotations__["value"] = kind
    handler.__kwdefaults__ = {"value": default}
    return task(handler)


def returned(made: Task[..., Any], *, windows: bool) -> Any:
    """Return the value that a run by the agent would get."""
    text = write_json(Job(tasks=[made], id="job").document())
    document = parse_object(text)
    values = run_values(document, {}, paths={}, base_url="https://127.0.0.1", windows=windows)
    _, *argv = substitute(document["tasks"][0]["arguments"], values, windows=windows)
    return parse_arguments(made.parameters, argv)["value"]


TEXT = st.text(max_size=12) | st.sampled_from(
    ["{a}-{b}.csv", "[x]", '{"a": 1}', "C:\\a b\\", 'say "hi"', "'", "", " ", "a\nb", "--x", "\\\\"]
)
PATHS = TEXT.filter(lambda text: "\0" not in text)
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, TEXT),
    (str | None, TEXT),
    (int, st.integers()),
    (float, st.floats() | st.integers(-9, 9)),
    (bool, st.booleans()),
    (Path, PATHS.map(Path)),
    (PurePosixPath, PATHS.map(PurePosixPath)),
    (PureWindowsPath, PATHS.map(PureWindowsPath)),
    (Decimal, st.decimals()),
    (bytes, st.binary(max_size=4) | TEXT.map(str.encode)),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=st.none() | st.timezones())),
    (time, st.times()),
    (timedelta, st.timedeltas() | st.sampled_from([timedelta.min, timedelta.max])),
    (Level, st.sampled_from(Level)),
    (Number, st.sampled_from(Number)),
    (Literal["a b", 7, True], st.sampled_from(["a b", 7, True])),
    (uuid.UUID, st.uuids()),
    (ipaddress.IPv4Address, st.ip_addresses(v=4)),
    (ipaddress.IPv6Address, st.ip_addresses(v=6)),
    (re.Pattern[str], st.sampled_from(["[0-9]+", "x{2}", "{a}", "\\\\"]).map(re.compile)),
    (HttpUrl, st.sampled_from(["https://example.org/a?b={c}"]).map(HttpUrl)),
    (set[str], st.sets(TEXT, max_size=4)),
    (frozenset[int], st.frozensets(st.integers(), max_size=4)),
    (tuple[int, str], st.tuples(st.integers(), TEXT)),
    (dict[str, float], st.dictionaries(TEXT, st.floats(), max_size=3)),
    (list[str], st.lists(TEXT, max_size=3)),
    (list[int] | None, st.lists(st.integers(), max_size=3)),
    (Json[list[int]], st.lists(st.integers(-(2**70), 2**70), max_size=3)),
    (Annotated[bool, "for people"], st.booleans()),
    (Annotated[int, Field(ge=0)], st.integers()),
    (Annotated[int | None, Field(ge=0)], st.integers()),
    (Annotated[str, Field(max_length=5)], TEXT),
    (Annotated[list[int], Field(max_length=2)], st.lists(st.integers(), max_size=3)),
    (Annotated[Decimal, Field(max_digits=4)], st.decimals()),
    (Port, st.integers()),
    (int | str, st.integers() | TEXT),
    (str | int, st.integers() | TEXT),
    (int | float | Level, st.integers() | st.floats() | st.sampled_from(Level)),
    (Window, st.builds(Window, label=TEXT, age=st.timedeltas())),
    (Span, st.builds(Span, PATHS.map(Path), st.decimals())),
    (Window | Span | date, st.builds(Window, start=st.integers()) | st.dates()),
]


@given(
    st.sampled_from(KINDS).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1])),
    st.booleans(),
)
def test_a_value_arrives_as_it_was_declared(given: tuple[Any, Any], windows: bool) -> None:  # noqa: FBT001
    """Whatever the quoting of the system, or it is refused where it is declared."""
    kind, value = given
    try:
        made = declared(kind, value)
    except DefinitionError:
        assume(False)
    found = returned(made, windows=windows)
    assert found == value
    assert type(found) is type(value) or kind is float


@pytest.mark.parametrize("windows", [True, False])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, "{host}-{date}.csv"),
        (str, '[x] {"a": 1} \\'),
        (Path, Path("{host}/a b")),
        (float, 5),
        (float, 1e-300),
        (timedelta, timedelta(microseconds=-1)),
        (timedelta, timedelta(days=300_000, microseconds=1)),
        (timedelta, timedelta.min),
        (Number, Number.NONE),
        (Decimal, Decimal("-1E+5")),
        (time, time(2, 30)),
        (bytes, b"ab"),
        (set[str], {"b", "a"}),
        (re.Pattern[str], re.compile("[0-9]{2}")),
        (ipaddress.IPv4Network, ipaddress.ip_network("10.0.0.0/8")),
        (Annotated[int, Field(gt=0)], 3),
        (PositiveInt | None, 3),
        (Annotated[str, Field(max_length=5)], "[x]"),
        (str | int, "[x]"),
        (int | str, "x"),
        (Window | None, Window(label='"{x}"')),
        (SecretStr, SecretStr("")),
        (Literal["a", None], None),  # noqa: PYI061  # people write it
        (list[timedelta], [timedelta(seconds=1)]),
    ],
)
def test_these_values_are_accepted(kind: Any, value: Any, *, windows: bool) -> None:
    """And arrive; so that the test above does not pass by refusing them."""
    assert returned(declared(kind, value), windows=windows) == value


class Unknown:
    """A class that nobody can read."""


class Twice(enum.Enum):
    """Two members with one text."""

    TEXT = "1"
    NUMBER = 1


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (float, float("inf"), "'inf' is not a finite number"),
        (float, float("nan"), "is not a finite number"),
        (Decimal, Decimal("Infinity"), "is not a finite number"),
        (int, True, "'true' is not a whole number"),
        (int, 10**500, "is not a whole number"),
        (str, 5, "would come back as '5', not as 5"),
        (str, "a\0b", "NUL"),
        (str, "\ud800", "surrogate"),
        (str, "{tmp}/x", "an agent may fill {tmp} itself"),
        (str, "{VALUE}", "an agent may fill {VALUE} itself"),
        (str, "{keeperapibaseurl}", "an agent may fill"),
        (Path, "/srv", "not as '/srv'"),
        (bytes, b"\xff", "can't decode"),
        (str | int, 5, "would come back as '5'"),
        (int | str, "5", "would come back as 5"),
        (re.Pattern[str], re.compile("x", re.IGNORECASE), "would come back as"),
        (Annotated[int, Field(gt=0)], 0, "greater than 0"),
        (Annotated[list[int], Field(max_length=1)], [1, 2], "at most 1 item"),
        (list[int], ["x"], "not a whole number"),
        (Literal["a"], "b", "'b' is none of a"),
        (Literal["1", 1], 1, "have the same text"),
        (Twice, None, "have the same text"),
        (Level, "low", "would come back as <Level.LOW"),
        (Level, "middle", "is none of"),
        (Unknown, None, "no text means a value of Unknown"),
        (type[int], None, "no text means"),
        (SecretStr | int, None, "a secret comes from a file"),
        (dict[str, SecretStr], None, "a secret comes from a file"),
    ],
)
def test_other_values_are_refused_where_they_are_declared(kind: Any, value: Any, why: str) -> None:
    """The error names the parameter and the reason."""
    with pytest.raises(DefinitionError) as refused:
        declared(kind, value)
    assert "`value` cannot be passed by an agent: " in str(refused.value)
    assert why in str(refused.value)


def test_a_type_keeps_its_word_in_the_document() -> None:
    """What `Annotated` and `NewType` add is no other type."""

    @task
    def scan(
        *, deep: Annotated[bool, "x"] = True, size: PositiveInt = 1, port: Port = Port(1)
    ) -> None: ...

    document = Job(tasks=[scan]).document()
    assert [entry["type"] for entry in document["parameters"]] == ["boolean", "integer", "integer"]
    assert [parameter.option for parameter in scan.parameters if parameter.flag] == ["--deep"]
    assert document["tasks"][0]["arguments"].endswith("--deep={Deep} --size={Size} --port={Port}")


def test_a_number_that_python_does_not_write_is_refused() -> None:
    """Its text would take quadratic time."""
    with pytest.raises(DefinitionError, match="cannot be written"):
        declared(int, 10**5000)


def test_a_secret_with_conditions_stays_a_file() -> None:
    """Its text never stands in the arguments."""

    @task
    def scan(*, token: Annotated[SecretStr, Field(min_length=8)]) -> None: ...

    assert [parameter.option for parameter in scan.parameters] == ["--token-file"]
