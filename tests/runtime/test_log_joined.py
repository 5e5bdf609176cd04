"""The standard library's logging, warnings and uncaught errors go the way of the records."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from peers.patience import PATIENCE
from runtime.stderr_lines import StderrLines

from epm_task.contract import levels as level
from epm_task.runtime.log.encoder import RecordEncoder
from epm_task.runtime.log.log import Sink, joined, make_log
from epm_task.runtime.log.pipe import LogPipe

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stderr() -> StderrLines:
    """Take the place of stderr."""
    return StderrLines()


@pytest.fixture
def sink(stderr: StderrLines) -> Iterator[Sink]:
    """Let everything join."""
    pipe = LogPipe(stderr, mirror=level.OFF)
    pipe.without_broker("a test has none")
    sink = Sink(
        RecordEncoder(source="task", job_id="job", job_name="Job", run_id="7f"), pipe.record
    )
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with joined(make_log(sink, level.INFORMATION), sink, level.INFORMATION):
            yield sink


@pytest.mark.usefixtures("sink")
def test_logging_joins(stderr: StderrLines) -> None:
    """A standard record keeps its level, its name and its `extra`."""
    logging.getLogger("library.part").warning("%s of %d", "a", 3, extra={"k": 1})
    logging.getLogger("library").debug("below the minimum")
    (record,) = stderr.records
    assert (record["level"], record["message"], record["source"]) == (
        "Warning",
        "a of 3",
        "library.part",
    )
    assert record["properties"] == {"k": 1}


@pytest.mark.usefixtures("sink")
def test_wrong_format_is_kept_as_it_is(stderr: StderrLines) -> None:
    """Arguments that do not fit do not raise, and do not print a traceback."""
    write = logging.getLogger("library").error
    write("100% of %s", "a")
    write("%d", "x")
    assert [record["message"] for record in stderr.records] == ["100% of %s", "%d"]


@pytest.mark.usefixtures("sink")
def test_exception_of_logging_joins(stderr: StderrLines) -> None:
    """`logging.exception` adds type and traceback."""
    try:
        {"a": 1}["gone"]
    except KeyError:
        logging.getLogger("library").exception("failed")
    properties = stderr.records[0]["properties"]
    assert properties["exceptionType"] == "KeyError"
    assert "test_log_joined.py" in properties["exception"]


@pytest.mark.usefixtures("sink")
def test_stack_of_logging_joins(stderr: StderrLines) -> None:
    """`stack_info` is a field, and so is the traceback of a record that was in another process."""
    logging.getLogger("library").warning("how did we get here", stack_info=True)
    sent = logging.makeLogRecord({"name": "worker", "levelno": 40, "exc_text": "Traceback: …"})
    logging.getLogger("library").handle(sent)
    stack, other = (record["properties"] for record in stderr.records)
    assert "test_stack_of_logging_joins" in stack.pop("stack")
    assert (stack, other) == ({}, {"exception": "Traceback: …"})


@pytest.mark.usefixtures("sink")
def test_group_joins_with_all_its_members(stderr: StderrLines) -> None:
    """An exception group shows each exception, its causes and its notes."""
    try:
        try:
            Path("/nonexistent/licence-4711.txt").read_bytes()
        except OSError as cause:
            error = ValueError("one")
            error.__cause__ = cause
            error.add_note("look there")
            raise ExceptionGroup("several", [error, KeyError("two")]) from None
    except ExceptionGroup:
        logging.getLogger("library").exception("failed")
    properties = stderr.records[0]["properties"]
    assert properties["exceptionType"] == "ExceptionGroup"
    for part in ("licence-4711", "direct cause", "one", "look there", "KeyError: 'two'"):
        assert part in properties["exception"]


@pytest.mark.usefixtures("sink")
@pytest.mark.parametrize(
    ("number", "word"), [(35, "Warning"), (99, "Critical"), (21, "Information")]
)
def test_level_in_between_is_the_next_lower_one(
    stderr: StderrLines, number: int, word: str
) -> None:
    """Levels that the agent does not know become one that it knows."""
    logging.getLogger("library").log(number, "m")
    assert stderr.records[0]["level"] == word


@pytest.mark.usefixtures("sink")
def test_requests_to_the_agent_are_not_logged(stderr: StderrLines) -> None:
    """The lines that httpx writes for every request stay away."""
    logging.getLogger("httpx").info("HTTP Request: GET …")
    logging.getLogger("httpx").warning("something is wrong")
    assert [record["message"] for record in stderr.records] == ["something is wrong"]


@pytest.mark.usefixtures("sink")
def test_warning_joins(stderr: StderrLines) -> None:
    """`warnings.warn` is a record of the level Warning."""
    warnings.warn("old way\n", DeprecationWarning, stacklevel=1)
    (record,) = stderr.records
    assert (record["level"], record["source"]) == ("Warning", "py.warnings")
    assert "DeprecationWarning: old way" in record["message"]


def test_exception_of_a_thread_joins(sink: Sink, stderr: StderrLines) -> None:
    """An exception that ends a thread is a record, and is remembered; `sys.exit()` is neither."""
    error = ValueError("in a thread")

    def fail() -> None:
        raise error

    for target in (fail, sys.exit, lambda: sys.exit(0)):
        thread = threading.Thread(target=target, name="worker")
        thread.start()
        thread.join()
    (record,) = stderr.records
    assert (record["message"], record["level"]) == ("thread_crashed", "Error")
    assert record["properties"]["thread"] == "worker"
    assert "in a thread" in record["properties"]["exception"]
    assert sink.thread_errors == [("worker", error)]


@pytest.mark.usefixtures("sink")
def test_ignored_exception_joins(stderr: StderrLines) -> None:
    """An exception in a finalizer, which Python can only print, is a record."""

    class Broken:
        def __del__(self) -> None:
            raise OSError("while being forgotten")

    Broken()
    gc.collect()
    (record,) = stderr.records
    assert record["level"] == "Warning"
    assert "while being forgotten" in record["properties"]["exception"]
    assert "__del__" in record["properties"]["where"]


def test_everything_is_put_back(stderr: StderrLines) -> None:
    """After the block the hooks and the level are those of before."""
    root = logging.getLogger()
    pipe = LogPipe(stderr, mirror=level.OFF)
    sink = Sink(RecordEncoder(source="t", job_id="", job_name="", run_id="7f"), pipe.record)

    def hooks() -> tuple[object, ...]:
        return (
            root.level,
            list(root.handlers),
            threading.excepthook,
            sys.unraisablehook,
            logging.raiseExceptions,
            logging.Logger.callHandlers,
            warnings.showwarning,
        )

    before = hooks()
    with joined(make_log(sink, level.WARNING), sink, level.WARNING):
        assert hooks() != before
    assert hooks() == before


STRUCTLOG_LATE = """
import sys
from runtime.run_parts import declared, invoked
from runtime.stderr_lines import StderrLines
from epm_task.runtime.log.pipe import RunLog

stderr = StderrLines()
run_log = RunLog(declared(), invoked(), stderr)
assert "structlog" not in sys.modules
import structlog, structlog.stdlib
structlog.get_logger().warning("late")
run_log.log.info("own")
assert not {"asyncio", "rich"} & sys.modules.keys()
assert structlog.stdlib.asyncio.get_running_loop
assert "asyncio" in sys.modules
run_log.pipe.without_broker("a test has none")
print([record["message"] for record in stderr.records])
"""


def test_structlog_joins_when_it_is_imported_late() -> None:
    """A task does not load it; whoever imports it during the run finds it configured."""
    ended = subprocess.run(
        [sys.executable, "-c", STRUCTLOG_LATE],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (ended.stdout, ended.stderr) == ("['late', 'own']\n", "")


def test_watch_for_structlog_ends_with_the_block(sink: Sink) -> None:
    """A run in which nobody imports it leaves no hook behind."""
    hooks = list(sys.meta_path)
    hidden = sys.modules.pop("structlog", None)
    try:
        with joined(make_log(sink, level.WARNING), sink, level.WARNING):
            assert len(sys.meta_path) == len(hooks) + 1
    finally:
        if hidden is not None:
            sys.modules["structlog"] = hidden
    assert sys.meta_path == hooks
