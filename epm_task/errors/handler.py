"""What a handler raises, and what a run says about its handler."""

from __future__ import annotations

from epm_task.exit_code import AUTHOR_CODES, ExitCode


class TaskError(Exception):
    """A situation that ends a run with an exit code of its own."""

    exit_code: int = ExitCode.SOFTWARE


class TaskFailed(TaskError):
    """The handler could not do its work.

    Args:
        message: What happened, why, and what to do, in one sentence.
        exit_code: 1 to 63; what each means is the author's choice.
    """

    def __init__(self, message: str, *, exit_code: int = ExitCode.FAILED) -> None:
        """Refuse an exit code that is not the author's to choose, with ValueError."""
        if exit_code not in AUTHOR_CODES:
            raise ValueError(
                f"exit_code must be 1 to 63, not {exit_code}: the others have a fixed meaning"
            )
        super().__init__(message)
        self.exit_code = exit_code


class TemporaryFailure(TaskError):
    """The handler could not do its work now, and a later run may succeed."""

    exit_code = ExitCode.TEMPFAIL


class DeadlineExceeded(TaskError):
    """The task's own deadline has passed; a handler may raise it when time is short."""

    exit_code = ExitCode.DEADLINE

    def __init__(self, message: str = "") -> None:
        """Use the standard sentence when *message* is empty."""
        super().__init__(
            message
            or "the task reached its own deadline; raise timeout_seconds, or do less in one run"
        )


class DefinitionError(TaskError, TypeError):
    """A task or a topic is declared in a way that cannot work; seen when the module is imported."""


class HandlerCrashed(TaskError):
    """The handler, or one of its threads, let an exception escape."""

    def __init__(self, what: str) -> None:
        """Take what happened: who raised which class of exception, and where; never its text."""
        super().__init__(
            f"{what}; the traceback stands in the record above; raise TaskFailed for a failure "
            "that you expect"
        )


class ResultNotSerializable(TaskError):
    """The handler's result cannot be printed as one JSON object."""

    def __init__(self, why: str) -> None:
        """Take the reason."""
        super().__init__(
            f"the handler's result was not printed: {why}; return a mapping, a dataclass or a "
            "pydantic model of at most 64 KiB of JSON, or None"
        )


class TopicNotDeclared(TaskError):
    """The handler published on a topic that its task does not declare."""

    def __init__(self, topic: str, task: str, line: str) -> None:
        """Take the topic's name, the task's name, and the line that declares the topic."""
        super().__init__(
            f"{topic!r} is not declared by the task {task!r}: the agent would drop the message "
            f"silently; add it: {line}"
        )


class HandlerUnresponsive(TaskError):
    """The handler did not stop when it was asked to."""

    exit_code = ExitCode.FORCED

    def __init__(self, why: str, seconds: float) -> None:
        """Take the reason of the stop and how long the handler had."""
        super().__init__(
            f"{why}, and the handler was still running {seconds:.1f} s later; it was ended; "
            "return when ctx.stopping is set"
        )


class RecordsUndelivered(TaskError):
    """The task asked for strict logs, and some records were not acknowledged."""

    exit_code = ExitCode.IOERR

    def __init__(self, count: int, why: str) -> None:
        """Take how many records the broker did not acknowledge, and why."""
        super().__init__(
            f"{count} records were not acknowledged by the broker ({why}); they stand on stderr"
        )


class UnsafeConfiguration(TaskError):
    """The surroundings of the process cannot be trusted."""

    exit_code = ExitCode.CONFIG
