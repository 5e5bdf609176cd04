"""What is wrong with the command line, or with the environment, of a task process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.errors.handler import TaskError
from epm_task.exit_code import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable


class InvocationError(TaskError):
    """The command line or the environment of the process is wrong."""

    exit_code = ExitCode.USAGE


class UnknownOption(InvocationError):
    """An argument that this task does not have."""

    def __init__(self, option: str, known: Iterable[str]) -> None:
        """Take the argument as it was given, and the options that exist."""
        import difflib  # noqa: PLC0415  # only a mistake pays for it

        near = difflib.get_close_matches(option, list(known), n=1)
        hint = f"did you mean {near[0]}?" if near else "see --help for the options"
        super().__init__(f"unknown argument {option}; {hint}")


class MissingArgument(InvocationError):
    """A required argument is absent."""

    def __init__(self, option: str, token: str) -> None:
        """Take the option, and the token that a job's `arguments` would hold for it."""
        super().__init__(
            f'{option} is required and was not given; add {option}="{{{token}}}" to the arguments '
            f"of the job's task, or give the parameter a default"
        )


class InvalidArgument(InvocationError):
    """An argument whose text is no value of its type."""

    def __init__(self, option: str, why: str) -> None:
        """Take the option and the reason."""
        super().__init__(f"{option}: {why}")


class UnsubstitutedToken(InvocationError):
    """An argument that still holds a token in braces."""

    def __init__(self, option: str, token: str) -> None:
        """Take the option and the token with its braces."""
        super().__init__(
            f"{option} still holds {token}: the agent did not substitute it; declare the parameter "
            "in the job, spelled as in the token (case counts outside Windows)"
        )


class BadJobId(InvocationError):
    """A job id that the broker or the API cannot carry."""

    def __init__(self, job_id: str) -> None:
        """Take the job id."""
        if "_" in job_id:
            why = "holds an underscore, and the broker splits client ids on _ to find the job id"
        else:
            why = "is not made of letters, digits, '.' and '-' (at most 128, no '.' or '-' first)"
        super().__init__(
            f"job id {job_id!r} {why}; rename the job, for example {_repair(job_id)!r}"
        )


class BadClientIdTemplate(InvocationError):
    """A client id template in which the broker would not find the job id."""

    def __init__(self, template: str, why: str) -> None:
        """Take the template and the reason."""
        super().__init__(
            f"--client-id-template {template!r}: {why}; the default is {{job_id}}_{{run_id}}"
        )


class NoAgent(InvocationError):
    """The program was started without an agent."""

    def __init__(self, command: str) -> None:
        """Take the command line that runs the task under a local agent."""
        super().__init__(
            "--keeper-api-base was not given, so no agent started this program; "
            f"to try it on this machine type: {command}"
        )


def _repair(job_id: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in job_id)
    return kept.lstrip(".-")[:128] or "my-job"
