"""Tests of an outcome: exit code, stdout, and the last line."""

from __future__ import annotations

from typing import Any

import pytest

from epm_task.errors import NotRegistered, ResultNotSerializable, TaskFailed, TemporaryFailure
from epm_task.exit_code import ExitCode
from epm_task.runtime.outcome import MAX_RESULT_BYTES, Outcome, author_failure, parse_result


def test_result_is_one_line() -> None:
    """A returned mapping is one JSON line and exit code 0."""
    assert Outcome.of_result({"found": 3}) == Outcome(0, b'{"found":3}\n', "")


def test_none_prints_nothing() -> None:
    """A handler that returns None leaves stdout empty."""
    assert Outcome.of_result(None).stdout == b""


def test_empty_mapping_is_a_result() -> None:
    """An empty mapping is an object all the same."""
    assert Outcome.of_result({}).stdout == b"{}\n"


@pytest.mark.parametrize("result", [[1], object(), {"a": object()}, {"a": "x" * MAX_RESULT_BYTES}])
def test_other_result_is_refused(result: object) -> None:
    """What is not an object, or larger than 64 KiB, is refused."""
    with pytest.raises(ResultNotSerializable, match="was not printed"):
        Outcome.of_result(result)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (None, 0),
        (0, 0),
        (False, 0),
        (True, 1),
        (3, 3),
        (63, 63),
        (64, 70),
        (256, 70),
        (-1, 70),
        (2**40, 70),
        ("", 1),
    ],
)
def test_sys_exit_is_clamped(code: Any, exit_code: int) -> None:
    """A number that is not the author's to choose becomes 70; each failure has a sentence."""
    outcome = Outcome.of_exit(code)
    assert outcome.exit_code == exit_code
    assert bool(outcome.error) == bool(exit_code)


class _Wordless:
    """An object that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("licence-4711 is missing", "licence-4711 is missing"),
        (ValueError("a reason"), "a reason"),
        ((1, 2), "(1, 2)"),
        (3.0, "3.0"),
        (_Wordless(), "<_Wordless that cannot be shown>"),
    ],
)
def test_sys_exit_with_a_message_keeps_it(message: object, error: str) -> None:
    """What is no number is the reason, and the exit code 1, as of any other Python program."""
    assert Outcome.of_exit(message) == Outcome(1, error=error)


_EXIT = SystemExit("text")
_NO, _LATER, _CRASH = TaskFailed("no", exit_code=7), TemporaryFailure("later"), ValueError("a bug")


@pytest.mark.parametrize(
    ("raised", "failure"),
    [
        (_NO, _NO),
        (ExceptionGroup("g", [_NO]), _NO),
        (ExceptionGroup("g", [ExceptionGroup("inner", [_NO])]), _NO),
        (ExceptionGroup("g", [ExceptionGroup("inner", [_LATER]), _NO]), _LATER),
        (ExceptionGroup("g", [_CRASH]), _CRASH),
        (BaseExceptionGroup("g", [_EXIT]), _EXIT),
    ],
)
def test_group_of_failures_is_one_failure(raised: Exception, failure: BaseException) -> None:
    """`asyncio.TaskGroup` and `except*` wrap what the author raised: it keeps its code."""
    assert author_failure(raised) is failure


@pytest.mark.parametrize("others", [[_NO, _CRASH], [ExceptionGroup("g", [_CRASH, _NO])]])
def test_group_with_a_crash_is_a_crash(others: list[Exception]) -> None:
    """A bug beside an expected failure is not hidden by it."""
    group = ExceptionGroup("g", others)
    assert author_failure(group) is group


def test_error_brings_its_code_and_sentence() -> None:
    """An error of the tree knows its exit code."""
    assert Outcome.of_error(TaskFailed("full", exit_code=9)) == Outcome(9, b"", "full")


def test_crash_names_class_and_place_only() -> None:
    """The line about a crash holds no text of the exception, which may be a secret."""
    with pytest.raises(KeyError) as crash:
        {"a": 1}["hunter2-secret"]
    outcome = Outcome.of_crash(crash.value)
    assert outcome.exit_code == ExitCode.SOFTWARE
    assert "KeyError at " in outcome.error
    assert "test_outcome.py:" in outcome.error
    assert "hunter2" not in outcome.error


def test_crash_without_a_traceback_has_no_place() -> None:
    """An exception that was never raised is told without a place."""
    assert "ValueError at ?" in Outcome.of_crash(ValueError()).error


@pytest.mark.parametrize(
    ("code", "words"), [(ExitCode.SIGTERM, "SIGTERM"), (ExitCode.SIGINT, "SIGINT")]
)
def test_signal_says_that_nothing_is_lost(code: ExitCode, words: str) -> None:
    """A run that a signal stopped says which, and that records were flushed."""
    outcome = Outcome.of_signal(code)
    assert outcome.exit_code == code
    assert words in outcome.error
    assert "flushed" in outcome.error


def test_last_line_has_code_name_and_sentence() -> None:
    """The last line reads like `epm_task: exit 77 (NOPERM): …`."""
    line = Outcome.of_error(NotRegistered(4711, 15.0, 20)).last_line()
    assert line.startswith(b"epm_task: exit 77 (NOPERM): the agent answered 403 to all 20")
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


@pytest.mark.parametrize(
    "text", ["a\nb", "\x1b[31m", "\u2028", "\x00", "x" * 9000, "ä" * 9000, "\udc80"]
)
def test_last_line_is_one_short_printable_line(text: str) -> None:
    """Control characters, surrogates and length cannot spoil the last line."""
    line = Outcome(70, error=text).last_line()
    assert len(line) <= 500
    assert line[:-1].decode().isprintable()


def test_what_is_not_printable_is_escaped() -> None:
    """People see which character it was."""
    assert Outcome(70, error="a\n\x1b[31m\udc80").last_line().endswith(b": a\\n\\x1b[31m\\udc80\n")


@pytest.mark.parametrize(
    ("stdout", "result"),
    [
        (b'{"a":1}\n', {"a": 1}),
        (b'  {"a":1}  ', {"a": 1}),
        (b"", None),
        (b"[1]", None),
        (b'{"a":1}\n{"b":2}', None),
        (b'noise\n{"a":1}', None),
        (b'{"a":NaN}', None),
    ],
)
def test_agent_takes_stdout_as_a_whole(stdout: bytes, result: dict[str, int] | None) -> None:
    """One JSON object is a result; anything more or less is none."""
    assert parse_result(stdout) == result


class Streams:
    """Standard streams in memory, of which some records or the result may not be taken."""

    def __init__(self, *, lost: int = 0, read: bool = True, forked: bool = False) -> None:
        """Start empty."""
        self._lost = lost
        self._read = read
        self.forked = forked
        self.stdout = self.stderr = b""

    def finish(self) -> int:
        """Say what was lost."""
        return self._lost

    def write_stdout(self, line: bytes) -> bool:
        """Take a line, or not."""
        self.stdout += line if self._read else b""
        return self._read

    def write_last(self, line: bytes) -> None:
        """Take the last line."""
        self.stderr += line


_RESULT = Outcome(stdout=b"{}\n")
_LOST = b"epm_task: exit 74 (IOERR): 7 records were not taken"


@pytest.mark.parametrize(
    ("streams", "outcome", "code", "stdout", "stderr"),
    [
        (Streams(), Outcome(), 0, b"", b""),
        (Streams(), _RESULT, 0, b"{}\n", b""),
        (Streams(), Outcome(3, error="y"), 3, b"", b"epm_task: exit 3 (the author's own): y\n"),
        (Streams(read=False), _RESULT, 74, b"", b"epm_task: exit 74 (IOERR): the result was not"),
        (Streams(lost=7), _RESULT, 74, b"{}\n", _LOST + b": stderr is closed"),
        (Streams(lost=7), Outcome(3), 74, b"", _LOST + b" (the exit code would be 3)"),
        (Streams(forked=True), _RESULT, 0, b"", b""),
        (Streams(forked=True), Outcome(3, error="y"), 3, b"", b""),
        (Streams(forked=True, lost=7), _RESULT, 74, b"", b""),
    ],
)
def test_outcome_is_written_to_its_streams(
    streams: Streams, outcome: Outcome, code: int, stdout: bytes, stderr: bytes
) -> None:
    """A result goes to stdout, a failure to stderr; what was not taken makes the exit code 74."""
    assert outcome.write(streams) == code  # type: ignore[arg-type]
    assert streams.stdout == stdout
    assert streams.stderr.startswith(stderr)
    assert bool(streams.stderr) is bool(stderr)


def test_crash_names_the_innermost_place() -> None:
    """A crash is told where it happened, not where the handler was called."""
    with pytest.raises(ValueError, match="invalid literal") as caught:
        decimal_of("x")
    assert f"ValueError at {__file__}:{decimal_of.__code__.co_firstlineno + 2}" in (
        Outcome.of_crash(caught.value).error
    )


def decimal_of(text: str) -> int:
    """Return a number."""
    return int(text)
