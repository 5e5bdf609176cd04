"""Say what went wrong when the agent did not do what its administrator asked.

AdminError                       70  root; never raised itself
├── WrongUse                     64  an id, an address or a credential is not given as it must be
├── JobRefused                   65  the agent's validator refused the job, or the job is disabled
├── UnknownJob                   66  the agent has no such job (404)
├── AdminUnreachable             69  nobody answers; nothing was done
├── OutcomeUnknown               74  the connection ended while the agent may have been at work
├── ForeignAnswer                76  a redirect, HTML, too much, or what is not JSON
├── CredentialRefused            77  403, or the TLS handshake: the agent refuses the credential
└── UnsafeConnection             78  nothing was sent: address, files or the peer are not safe

The errors of deployments are drawn in `deploy/errors.py`. The exit codes are those of a task
(`epm_task.exit_code`), with the same meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from epm_task.errors import EpmTaskError
from epm_task.exit_code import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence


class AdminError(EpmTaskError):
    """The agent did not do what its administrator asked.

    Attributes:
        exit_code: What `epm-task` ends with.
    """

    exit_code: int = ExitCode.SOFTWARE

    @classmethod
    def of(cls, error: EpmTaskError) -> Self:
        """Return an error of this class that says the same as another one."""
        return cls(error.what, error.why, error.fix)


class WrongUse(AdminError):
    """What was asked cannot be asked like this; nothing was sent."""

    exit_code = ExitCode.USAGE


class JobRefused(AdminError):
    """The agent answered 400.

    Attributes:
        errors: Why, in the agent's words.
    """

    exit_code = ExitCode.DATAERR

    def __init__(self, call: str, errors: Sequence[str]) -> None:
        """Take the call, as `POST /api/Jobs`, and the `errors` of the answer."""
        self.errors = tuple(errors)
        super().__init__(
            f"the agent refused {call} (400)",
            "; ".join(self.errors) or "it gave no reason",
            "correct the job document, and deploy its binary first (`epm-task jobs validate FILE` "
            "asks without changing anything)",
        )


class UnknownJob(AdminError):
    """The agent answered 404.

    Attributes:
        job_id: The id that it does not know; empty when the path named none.
    """

    exit_code = ExitCode.NOINPUT

    def __init__(self, call: str, job_id: str) -> None:
        """Take the call and the id."""
        self.job_id = job_id
        super().__init__(
            f"the agent {f'has no job {job_id!r}' if job_id else f'does not know {call}'} (404)",
            fix="compare the id with `epm-task jobs list`: it must match exactly",
        )


class AdminUnreachable(AdminError):
    """No connection, or no answer to a question that changes nothing."""

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, url: str, why: str) -> None:
        """Take the URL and the reason."""
        super().__init__(
            f"no answer from the agent at {url}",
            why,
            "check that the agent's service is running and that the port is right "
            "(`epm-task doctor`)",
        )


class OutcomeUnknown(AdminError):
    """The answer to a call that changes something did not arrive."""

    exit_code = ExitCode.IOERR

    def __init__(self, call: str, url: str, why: str) -> None:
        """Take the call, the URL and the reason."""
        super().__init__(
            f"{call} was sent to {url} and its answer did not arrive",
            f"{why}, so nobody knows whether the agent did it, and it was not sent again",
            "look with `epm-task jobs list` or `get`",
        )


class ForeignAnswer(AdminError):
    """An answer that the agent's API would not give."""

    exit_code = ExitCode.PROTOCOL

    def __init__(self, url: str, why: str) -> None:
        """Take the URL and the reason."""
        super().__init__(
            f"{url} is not the agent's API, or another version of it", why, "check --base-url"
        )


class CredentialRefused(AdminError):
    """The agent does not accept the credential for the Admin tier.

    Attributes:
        status: 403, or 0 when the TLS handshake or the broker ended the call.
    """

    exit_code = ExitCode.NOPERM

    def __init__(self, call: str, why: str, *, status: int) -> None:
        """Take the call, what was refused, and the status."""
        self.status = status
        super().__init__(
            f"the agent refused {call}",
            why,
            "give the client certificate that your Keeper deployment team issued for this agent "
            "with --cert and --key",
        )


class UnsafeConnection(AdminError):
    """The address, a file or the peer cannot be trusted; no request was sent."""

    exit_code = ExitCode.CONFIG
