"""Say how a run ended: the exit code, with one line for stdout or one for stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from epm_task.contract.json_text import parse_object
from epm_task.errors import DefinitionError, HandlerCrashed, ResultNotSerializable, TaskError
from epm_task.exit_code import AUTHOR_CODES, ExitCode, describe
from epm_task.runtime.result import encode_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.runtime.log.encoder import Secrets
    from epm_task.runtime.streams import StandardStreams

#: The agent's own limit is not public; 64 KiB is what a Linux pipe holds when nobody reads it.
MAX_RESULT_BYTES: Final = 64 * 1024
#: The last line on stderr stays readable in an event viewer.
_MAX_ERROR_BYTES: Final = 500
_NO_REASON: Final = "the handler called sys.exit; TaskFailed says why as well"


class RecordsUndelivered(TaskError):
    """The task asked for strict logs, and some records were not acknowledged."""

    exit_code: int = ExitCode.IOERR

    def __init__(self, count: int, why: str) -> None:
        super().__init__(
            f"{count} records were not acknowledged by the broker", why, "read them on stderr"
        )


class OutputNotTaken(TaskError):
    """The reader of stderr or stdout did not take what it should before the flush time-out.

    Args:
        what: What is missing: records, or the result.
        stream: The name of the stream.
        exit_code: How the run would have ended otherwise.
    """

    exit_code: int = ExitCode.IOERR

    def __init__(self, what: str, stream: str, exit_code: int) -> None:
        otherwise = f" (the exit code would be {exit_code})" if exit_code else ""
        super().__init__(
            f"{what} not taken{otherwise}",
            f"{stream} is closed, full, or was not read before the end of --flush-timeout",
            f"read {stream} until the process ends, or raise --flush-timeout",
        )


def author_failure(error: BaseException) -> BaseException:
    """Return what a group of exceptions is about: its only one, or the first of several failures.

    `asyncio.TaskGroup` and `except*` wrap what the author raises. A group in which anything else
    than a `TaskError` is one of several remains a group: the handler has crashed.
    """
    found = list(_members(error))
    alone = len(found) == 1 or all(isinstance(member, TaskError) for member in found)
    return found[0] if alone else error


def _members(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for member in error.exceptions:
        yield from _members(member)


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
        exit_code: 0 to 125, or 128 plus a signal.
        stdout: What stdout gets: one JSON line, the text of `--help`, or nothing.
        error: What happened, why, what to do; empty when all went well.
    """

    exit_code: int = ExitCode.OK
    stdout: bytes = b""
    error: str = ""

    @classmethod
    def of_result(cls, result: object) -> Outcome:
        """Return the outcome of a handler that returned *result*.

        Raises:
            ResultNotSerializable: It has no JSON form, or one of more than 64 KiB.
        """
        if result is None:
            return cls()
        try:
            line = encode_object(result) + b"\n"
        except ValueError as error:
            raise ResultNotSerializable(str(error)) from None
        if len(line) > MAX_RESULT_BYTES:
            raise ResultNotSerializable(f"it has {len(line)} bytes of JSON")
        return cls(stdout=line)

    @classmethod
    def of_error(cls, error: TaskError) -> Outcome:
        """Return the outcome of a run that *error* ended."""
        return cls(error.exit_code, error=str(error))

    @classmethod
    def of_exception(cls, error: BaseException) -> Outcome:
        """Return the outcome of a handler, or a thread of it, that let *error* escape."""
        if isinstance(error, TaskError):
            return cls.of_error(error)
        if isinstance(error, SystemExit):
            return cls.of_exit(error.code)
        if isinstance(error, KeyboardInterrupt):
            return cls.of_signal(ExitCode.SIGINT)
        return cls.of_crash(error)

    @classmethod
    def of_crash(cls, crash: BaseException) -> Outcome:
        """Return the outcome of a handler that let *crash* escape."""
        if shadowed := shadowed_by(crash):
            return cls.of_error(shadowed)
        return cls.of_error(HandlerCrashed(f"the handler raised {raised_at(crash)}"))

    @classmethod
    def of_exit(cls, code: Any) -> Outcome:
        """Return the outcome of a handler that called `sys.exit(code)`; odd codes become 70.

        Whatever is not a number is a message, and the exit code then 1, as Python has it.
        """
        if code is None or (isinstance(code, int) and code == ExitCode.OK):
            return cls()
        if isinstance(code, int) and code in AUTHOR_CODES:
            return cls(int(code), error=_NO_REASON)
        if not isinstance(code, int):
            from epm_task.runtime.log.encoder import safe_text  # noqa: PLC0415  # rare

            return cls(ExitCode.FAILED, error=safe_text(code) or _NO_REASON)
        why = f"the handler called sys.exit({code}); use TaskFailed with an exit code of 1 to 63"
        return cls(ExitCode.SOFTWARE, error=why)

    @classmethod
    def of_signal(cls, exit_code: ExitCode) -> Outcome:
        """Return the outcome of a run that a signal stopped."""
        return cls(exit_code, error=f"{exit_code.meaning}; all records were flushed first")

    def without(self, secrets: Secrets) -> Self:
        """Return this outcome with asterisks for secrets, in the result too."""
        stdout = secrets.hide_json(self.stdout.decode("ascii")).encode("ascii")
        return self._replace(stdout=stdout, error=secrets.hide(self.error))

    def write(self, streams: StandardStreams) -> int:
        """Write stdout, then the one line on stderr that ends every run with a non-zero code.

        Return the exit code: 74 when a record, or the result, was not taken. A forked child has
        neither result nor last line.
        """
        ended, code = self, self.exit_code
        if lost := streams.finish():
            ended = Outcome.of_error(OutputNotTaken(f"{lost} records were", "stderr", code))
        if streams.forked:
            return ended.exit_code
        if self.stdout and not streams.write_stdout(self.stdout):
            ended = Outcome.of_error(OutputNotTaken("the result was", "stdout", code))
        streams.write_last(ended.last_line() if ended.exit_code else b"")
        return ended.exit_code

    def last_line(self) -> bytes:
        """Return `epm_task: exit 77 (NOPERM): …` as one printable line of at most 500 bytes."""
        text = f"epm_task: exit {self.exit_code} ({describe(self.exit_code)}): {self.error}"
        printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        line = printable.encode("utf-8", "backslashreplace")
        if len(line) >= _MAX_ERROR_BYTES:
            kept = line[: _MAX_ERROR_BYTES - 4].decode("utf-8", "ignore")
            line = f"{kept}...".encode()
        return line + b"\n"


def raised_at(error: BaseException) -> str:
    """Return the type of an exception, and where it was raised: `KeyError at scan.py:14`."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
    return f"{type(error).__name__} at {where}"


def shadowed_by(error: BaseException) -> DefinitionError | None:
    """Return what to say when a file beside the program is the cause of *error*; else None."""
    from epm_task.shadows import shadow_of  # noqa: PLC0415  # a failure only

    found = shadow_of(error)
    return DefinitionError(*found) if found else None


def parse_result(stdout: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a task printed, as an agent merges it; None when there is none.

    Our assumption, as the vendor names only the option `MergeStdoutJsonIntoContext`: the whole of
    stdout is one JSON object.
    """
    try:
        return parse_object(stdout.strip())
    except ValueError:
        return None
