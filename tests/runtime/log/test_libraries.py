"""Libraries that log by structlog write our records, with the methods that their authors know."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from runtime.stderr_lines import StderrLines

from epm_task.contract import levels as level
from epm_task.runtime.log.encoder import RecordEncoder
from epm_task.runtime.log.log import Log, Sink, joined, make_log
from epm_task.runtime.log.pipe import LogPipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEVELS = {
    "debug": "Debug",
    "info": "Information",
    "msg": "Information",
    "warning": "Warning",
    "warn": "Warning",
    "error": "Error",
    "exception": "Error",
    "critical": "Critical",
    "fatal": "Critical",
}


@pytest.fixture
def stderr() -> StderrLines:
    """Take the place of stderr."""
    return StderrLines()


@pytest.fixture
def run(stderr: StderrLines) -> Iterator[tuple[ExitStack, Log]]:
    """Let structlog join until the stack is closed; the log is that of the run."""
    pipe = LogPipe(stderr, mirror=level.OFF)
    pipe.without_broker("a test has none")
    sink = Sink(RecordEncoder(source="t", job_id="j", job_name="J", run_id="7f"), pipe.record)
    log = make_log(sink, level.DEBUG)
    try:
        with ExitStack() as stack:
            stack.enter_context(joined(log, sink, level.DEBUG))
            yield stack, log
    finally:
        structlog.contextvars.clear_contextvars()
        structlog.reset_defaults()


def _records(stderr: StderrLines) -> list[dict[str, Any]]:
    """Return the records, without those of an event loop that begins."""
    return [record for record in stderr.records if record["source"] != "asyncio"]


@pytest.mark.usefixtures("run")
def test_structlog_joins(stderr: StderrLines) -> None:
    """A library that uses structlog joins without being asked to."""
    structlog.get_logger("library").bind(b=2).warning("from_library", a=1)
    (record,) = stderr.records
    assert (record["message"], record["properties"]) == ("from_library", {"b": 2, "a": 1})


@pytest.mark.usefixtures("run")
def test_every_method_of_its_loggers_is_there() -> None:
    """What its own loggers can do, ours can: a library's call never ends the task."""
    for theirs in (structlog.make_filtering_bound_logger(0), structlog.BoundLoggerBase):
        names = {name for name in dir(theirs) if not name.startswith("_")}
        assert not names - set(dir(structlog.get_logger().bind()))


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("prefix", ["", "a"])
def test_method_has_its_level(stderr: StderrLines, name: str, prefix: str) -> None:
    """Each name writes one record of its level; so does the coroutine with an `a` before it."""
    log = structlog.get_logger().bind(b=1)
    written = getattr(log, prefix + name)("50%% of %s", "all", a=2)
    if prefix:
        asyncio.run(written)
    (record,) = _records(stderr)
    assert (record["level"], record["message"]) == (LEVELS[name], "50% of all")
    assert record["properties"] == {"a": 2, "b": 1}


@pytest.mark.usefixtures("run")
def test_log_takes_a_level(stderr: StderrLines) -> None:
    """`log` takes a number of `logging`, or a word; anything else is no reason to fail."""
    log = structlog.get_logger()
    log.log(30, "number", a=1)
    log.log("Error", "word")
    log.log(None, "neither")
    asyncio.run(log.alog(50, "%(a)s", {"a": "mapping"}))
    log.log(5, "below the minimum")
    found = [(record["level"], record["message"]) for record in _records(stderr)]
    expected = [("Warning", "number"), ("Error", "word"), ("Information", "neither")]
    assert found == [*expected, ("Critical", "mapping")]


@pytest.mark.usefixtures("run")
def test_exception_in_a_coroutine_is_that_of_its_caller(stderr: StderrLines) -> None:
    """`aexception` has the exception that is being handled where it is awaited."""

    async def fail() -> None:
        try:
            {"a": 1}["gone"]
        except KeyError:
            await structlog.get_logger().aexception("failed")

    asyncio.run(fail())
    assert _records(stderr)[0]["properties"]["exceptionType"] == "KeyError"


def test_bound_context_is_in_every_record(run: Any, stderr: StderrLines) -> None:
    """`bind_contextvars` adds to records of structlog and of the run's log; the nearer one wins."""
    log = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(request="r", a=0, b=0):
        log.bind(a=1, b=1).info("m", b=2)
        run[1].info("own")
    log.info("after")
    found = [record["properties"] for record in stderr.records]
    assert found == [{"request": "r", "a": 1, "b": 2}, {"request": "r", "a": 0, "b": 0}, {}]


def test_stack_is_a_field(run: Any, stderr: StderrLines) -> None:
    """`stack_info=True` shows who called; without it nothing is added."""
    for log in (structlog.get_logger(), run[1]):
        log.info("m", stack_info=True)
        log.info("m", stack_info=False, exc_info=None)
    stacks = [record["properties"] for record in stderr.records]
    assert stacks[1::2] == [{}, {}]
    for stack in stacks[::2]:
        assert stack["stack"].endswith('log.info("m", stack_info=True)\n')
        assert "test_stack_is_a_field" in stack["stack"]


@pytest.mark.usefixtures("run")
def test_lowest_level_can_be_asked_for() -> None:
    """Libraries ask before they make something costly."""
    log = structlog.get_logger()
    assert (log.is_enabled_for(10), log.isEnabledFor(5)) == (True, False)
    assert log.get_effective_level() == log.getEffectiveLevel() == level.DEBUG


def _rendered() -> None:
    factory = structlog.PrintLoggerFactory()
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=factory)
    structlog.configure(wrapper_class=structlog.BoundLogger)


def _as_logging() -> None:
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    structlog.get_logger().warning("m", a=1)


@pytest.mark.parametrize(
    ("configure", "expected"),
    [
        (_rendered, [("structlog_records_missing", "PrintLoggerFactory")]),
        (structlog.reset_defaults, [("structlog_records_missing", "PrintLoggerFactory")]),
        (_as_logging, [("m", None)]),
        (structlog.get_logger().bind, []),
    ],
)
def test_another_configuration_is_told(
    run: Any,
    stderr: StderrLines,
    configure: Callable[[], object],
    expected: list[tuple[str, str | None]],
) -> None:
    """Whoever configures it anew takes the records; one that leads to `logging` does not."""
    configure()
    run[0].close()
    found = [(r["message"], r["properties"].get("why", "").split(" ")[-1]) for r in stderr.records]
    assert found == [(message, factory or "") for message, factory in expected]
