"""Libraries that configure `logging` cannot take records away without a word."""

from __future__ import annotations

import io
import logging
import logging.config
import weakref
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from runtime.stderr_lines import StderrLines

from epm_task.contract import levels as level
from epm_task.runtime.log.encoder import RecordEncoder
from epm_task.runtime.log.log import Sink, joined, make_log
from epm_task.runtime.log.pipe import LogPipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIBRARY, OWN = logging.getLogger("library.part"), logging.getLogger("own")
#: As `dictConfig` has it, unless its caller knows better: all existing loggers are disabled.
DICT: dict[str, Any] = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": io.StringIO()}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"library": {"handlers": ["console"], "propagate": False, "level": "INFO"}},
}
FILE = """
[loggers]
keys=root
[handlers]
keys=null
[formatters]
keys=
[logger_root]
level=INFO
handlers=null
[handler_null]
class=NullHandler
args=()
"""


@contextmanager
def _restored() -> Iterator[None]:
    """Give the root logger and ours their handlers, levels and flags back."""
    root = logging.getLogger()
    loggers = [root, LIBRARY, OWN, logging.getLogger("library"), logging.getLogger("py.warnings")]
    before = [(log, log.level, list(log.handlers), log.propagate) for log in loggers]
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for log, number, handlers, propagate in before:
            log.handlers[:], log.propagate, log.disabled = handlers, propagate, False
            log.setLevel(number)


@pytest.fixture
def stderr() -> StderrLines:
    """Take the place of stderr."""
    return StderrLines()


@pytest.fixture
def run(stderr: StderrLines) -> Iterator[ExitStack]:
    """Let everything join until the stack is closed, as a run does."""
    pipe = LogPipe(stderr, mirror=level.OFF)
    pipe.without_broker("a test has none")
    sink = Sink(RecordEncoder(source="t", job_id="j", job_name="J", run_id="7f"), pipe.record)
    with _restored(), ExitStack() as stack:
        stack.enter_context(joined(make_log(sink, level.INFORMATION), sink, level.INFORMATION))
        yield stack


def _basic() -> None:
    logging.basicConfig(level="INFO", force=True, stream=io.StringIO())


def _twice() -> None:
    _basic()
    logging.config.dictConfig(DICT)


def _root_only() -> None:
    config = {"version": 1, "root": {"handlers": ["null"], "level": "INFO"}}
    logging.config.dictConfig({**config, "handlers": {"null": {"class": "logging.NullHandler"}}})


def _propagate() -> None:
    LIBRARY.propagate = OWN.propagate = False


def _cleared() -> None:
    logging.getLogger().handlers.clear()


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    "configure",
    [
        pytest.param(_basic, id="basicConfig(force=True)"),
        pytest.param(lambda: logging.config.dictConfig(DICT), id="dictConfig"),
        pytest.param(lambda: logging.config.fileConfig(io.StringIO(FILE)), id="fileConfig"),
        pytest.param(_twice, id="twice"),
        pytest.param(_root_only, id="root only"),
        pytest.param(_propagate, id="propagate=False"),
        pytest.param(_cleared, id="handlers.clear()"),
        pytest.param(logging.shutdown, id="shutdown"),
    ],
)
def test_records_arrive_after_it(
    configure: Callable[[], object], run: ExitStack, stderr: StderrLines
) -> None:
    """Whatever was configured, each record arrives once, and nothing is missing to be told."""
    handlers = list(logging.getLogger().handlers)
    LIBRARY.info("library, before")
    configure()
    LIBRARY.info("library")
    OWN.error("own", extra={"k": 1})
    logging.getLogger("later").warning("later")
    LIBRARY.debug("below the minimum")
    run.close()
    # Closed once more, as at the end of the process or by the next one, it does nothing.
    logging.shutdown([weakref.ref(joined) for joined in handlers])
    patched: Any = logging.config._handle_existing_loggers  # type: ignore[attr-defined]
    assert patched.__module__ == "logging.config"
    messages = [record["message"] for record in stderr.records]
    assert messages == ["library, before", "library", "own", "later"]


def test_lowered_level_does_not_bring_a_flood(stderr: StderrLines, run: ExitStack) -> None:
    """A library that wants all records for itself does not send them to the agent."""
    logging.basicConfig(level=0, force=True, stream=io.StringIO())
    LIBRARY.debug("noise")
    OWN.setLevel(logging.DEBUG)
    OWN.debug("asked for")
    run.close()
    assert [record["message"] for record in stderr.records] == ["asked for"]


def test_raised_level_is_told(stderr: StderrLines, run: ExitStack) -> None:
    """What is not made cannot arrive: one record says who raised the level, and how far."""
    logging.basicConfig(level="ERROR", force=True, stream=io.StringIO())
    LIBRARY.warning("not made")
    run.close()
    (record,) = stderr.records
    assert (record["message"], record["level"]) == ("logging_records_missing", "Warning")
    by = record["properties"].pop("by")
    assert by.startswith("basicConfig, ")
    assert "test_log_shared.py:" in by
    assert record["properties"] == {"below": "ERROR"}


@pytest.mark.parametrize(
    ("configure", "word", "facts"),
    [
        (lambda: logging.getLogger().setLevel("WARNING"), "Information", {"below": "WARNING"}),
        (lambda: logging.disable(logging.ERROR), "Warning", {"below": "Level 41"}),
    ],
)
def test_record_about_a_level_is_as_serious_as_what_is_missing(
    stderr: StderrLines,
    run: ExitStack,
    configure: Callable[[], object],
    word: str,
    facts: dict[str, str],
) -> None:
    """An author who wants warnings only gets no warning for it."""
    configure()
    run.close()
    (record,) = stderr.records
    assert (record["level"], record["properties"]) == (word, facts)


def test_disabled_logger_is_told(stderr: StderrLines, run: ExitStack) -> None:
    """One that was disabled otherwise, or before the run, is named with what to change."""
    OWN.disabled = True
    OWN.error("lost")
    run.close()
    (record,) = stderr.records
    assert record["level"] == "Warning"
    assert record["properties"]["disabled"] == "own"
    assert "disable_existing_loggers=False" in record["properties"]["fix"]


def test_what_others_replaced_stays(run: ExitStack, stderr: StderrLines) -> None:
    """A library that hooks into `logging` as we do keeps its hook, and gets the records too."""
    seen: list[str] = []
    ours = logging.Logger.callHandlers

    def theirs(logger: logging.Logger, record: logging.LogRecord) -> None:
        """Take note of the record."""
        seen.append(record.getMessage())
        ours(logger, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.Logger, "callHandlers", theirs)
        OWN.error("both")
        run.close()
        assert logging.Logger.callHandlers is theirs
    logging.Logger.callHandlers = _ORIGINAL  # type: ignore[method-assign]
    assert (seen, [r["message"] for r in stderr.records]) == (["both"], ["both"])


_ORIGINAL = logging.Logger.callHandlers


def test_handler_of_a_library_works_on(run: ExitStack, stderr: StderrLines) -> None:
    """What it writes for itself is written, and one that raises does not take the record."""
    taken: list[str] = []

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            taken.append(record.msg)
            record.msg, record.args = "changed", None
            raise OSError("its disk is full")

    logging.getLogger("library").addHandler(Broken())
    with pytest.raises(OSError, match="its disk"):
        LIBRARY.info("m %s", 1)
    run.close()
    assert (taken, [r["message"] for r in stderr.records]) == (["m %s"], ["m 1"])
