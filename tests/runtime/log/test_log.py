"""The log takes anything, and everything else that is logged joins it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from runtime.stderr_lines import StderrLines

from epm_task.contract import levels as level
from epm_task.runtime.log.encoder import RecordEncoder
from epm_task.runtime.log.log import Log, Sink, make_log
from epm_task.runtime.log.pipe import LogPipe


class Hostile:
    """An object that raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("no attributes")


class _OddText(str):
    """A text that cannot be formatted."""

    __slots__ = ()

    def __mod__(self, other: object) -> str:
        raise RuntimeError("no formatting")

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.fixture
def stderr() -> StderrLines:
    """Take the place of stderr."""
    return StderrLines()


@pytest.fixture
def sink(stderr: StderrLines) -> Sink:
    """Write records to stderr at once."""
    pipe = LogPipe(stderr, mirror=level.OFF)
    pipe.without_broker("a test has none")
    return Sink(
        RecordEncoder(source="task", job_id="job", job_name="Job", run_id="7f"), pipe.record
    )


@pytest.fixture
def log(sink: Sink) -> Log:
    """Make a log of all levels."""
    return make_log(sink, level.TRACE)


@pytest.mark.parametrize(
    ("method", "word"),
    [
        ("trace", "Trace"),
        ("debug", "Debug"),
        ("info", "Information"),
        ("warning", "Warning"),
        ("error", "Error"),
        ("exception", "Error"),
        ("critical", "Critical"),
    ],
)
def test_method_has_its_level(log: Log, stderr: StderrLines, method: str, word: str) -> None:
    """Each method writes one record of the level that the agent knows."""
    getattr(log, method)("message", found=3)
    (record,) = stderr.records
    assert (record["level"], record["message"], record["properties"]) == (
        word,
        "message",
        {"found": 3},
    )
    assert (record["source"], record["jobId"], record["runId"]) == ("task", "job", "7f")


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ((("100% of %s", "a"), {}), ("100% of %s", {"args": ["a"]})),
        ((("50% done",), {}), ("50% done", {})),
        ((("%s of %d", "a", 3), {"b": 1}), ("a of 3", {"b": 1})),
        ((("%d", "x"), {}), ("%d", {"args": ["x"]})),
        ((("no place", 1, 2), {}), ("no place", {"args": [1, 2]})),
        (((), {}), ("", {})),
        (((), {"event": "x"}), ("", {"event": "x"})),
        ((("m",), {"event": "x", "message": "y"}), ("m", {"event": "x", "message": "y"})),
        ((("m",), {"level": "z", "self": 1}), ("m", {"level": "z", "self": 1})),
        ((("m",), {"timestamp": 0, "runId": "forged"}), ("m", {"timestamp": 0, "runId": "forged"})),
        (((None,), {}), ("None", {})),
        (((3,), {}), ("3", {})),
        (((b"\xff",), {}), ("b'\\xff'", {})),
    ],
)
def test_odd_call_is_a_record(
    log: Log,
    stderr: StderrLines,
    call: tuple[tuple[Any, ...], dict[str, Any]],
    written: tuple[str, dict[str, Any]],
) -> None:
    """No call raises, and no field of a caller replaces one of the record's own."""
    args, fields = call
    log.info(*args, **fields)
    (record,) = stderr.records
    assert (record["message"], record["properties"]) == written
    assert (record["level"], record["runId"], record["seq"]) == ("Information", "7f", 1)


def _circular() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Hostile(), id="hostile"),
        pytest.param(_OddText("x"), id="odd text"),
        pytest.param([Hostile()], id="hostile inside"),
        pytest.param(_circular(), id="circular"),
        pytest.param(_deep(), id="deep"),
        pytest.param(float("nan"), id="NaN"),
        pytest.param({"a": float("-inf")}, id="infinity"),
        pytest.param(2**70, id="large"),
        pytest.param("\udcff\ud800", id="surrogates"),
        pytest.param({(1, 2): {None: 3}}, id="odd keys"),
        pytest.param({1, "a"}, id="set"),
        pytest.param(b"\x00\xff", id="bytes"),
        pytest.param("x" * 10_000_000, id="10 MB"),
        pytest.param(dict.fromkeys(map(str, range(100_000))), id="wide"),
        pytest.param('\n{"level":"forged"}\r\x1b[31m\u2028\x85\x00', id="control characters"),
        pytest.param(sys, id="module"),
        pytest.param(Hostile, id="class"),
    ],
)
@pytest.mark.parametrize("place", ["message", "field", "argument", "exc_info", "bound"])
def test_hostile_value_is_one_line(
    log: Log, stderr: StderrLines, value: object, place: str
) -> None:
    """Whatever is logged, and wherever it stands, comes out as one line of valid ASCII JSON."""
    if place == "message":
        log.info(value)
    elif place == "argument":
        log.info("%s", value)
    elif place == "bound":
        log.bind(key=value).info("m")
    else:
        log.info("m", **{place: value})
    (line,) = stderr.lines
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert len(line) <= 128 * 1024
    assert stderr.records[0]["level"] == "Information"


def test_exception_is_added_in_every_form(log: Log, stderr: StderrLines) -> None:
    """`exc_info` may be True, an exception or a tuple; `exception()` needs none."""
    secret, write = "hunter2", log.error
    try:
        int(f"length {len(secret)}")
    except ValueError as error:
        log.exception("m")
        write("m", exc_info=True)
        write("m", exc_info=error)
        write("m", exc_info=sys.exc_info())
    for record in stderr.records:
        assert record["properties"]["exceptionType"] == "ValueError"
        assert "length 7" in record["properties"]["exception"]
        assert "hunter2'" not in record["properties"]["exception"]


@pytest.mark.parametrize("info", [True, False, None, (None, None, None), "yes", 0, ()])
def test_absent_exception_adds_nothing(log: Log, stderr: StderrLines, info: object) -> None:
    """Outside of an `except` block there is no exception to add."""
    log.error("m", exc_info=info, a=1)
    assert stderr.records[0]["properties"] == {"a": 1}


def test_bound_fields_are_in_every_record(log: Log, stderr: StderrLines) -> None:
    """`bind` adds, `unbind` takes away, the call's own fields win, and the parent is untouched."""
    bound = log.bind(a=1, b=2)
    bound.info("x", b=3)
    bound.unbind("a").info("y")
    bound.new(c=4).info("z")
    log.info("w")
    assert [record["properties"] for record in stderr.records] == [
        {"a": 1, "b": 3},
        {"b": 2},
        {"c": 4},
        {},
    ]


def test_unbind_of_a_missing_field_is_an_error(log: Log) -> None:
    """As in structlog, `unbind` raises where `try_unbind` does not."""
    bound = log.bind(a=1)
    with pytest.raises(KeyError):
        bound.unbind("a", "b")
    assert bound.try_unbind("a", "b")._context == {}


def test_lower_levels_are_silent(sink: Sink, stderr: StderrLines) -> None:
    """Below the minimum nothing is made, and nothing raises."""
    log = make_log(sink, level.WARNING)
    for write in (log.trace, log.debug, log.info, log.bind(a=1).info):
        write("m", Hostile(), exc_info=True)
    for write in (log.warning, log.exception):
        write("m")
    assert [record["level"] for record in stderr.records] == ["Warning", "Error"]
