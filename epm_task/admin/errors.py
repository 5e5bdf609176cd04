"""Say what went wrong when the agent did not do what its administrator asked.

AdminError                       70  root; never raised itself
├── WrongUse                     64  an id, an address or a credential is not given as it must be
├── JobRefused                   65  the agent's validator refused the job, or the job is disabled
├── UnknownJob                   66  the agent has no such job (404)
├── AdminUnreachable             69  nobody answers; nothing was done
├── OutcomeUnknown               74  the connection ended while the agent may have been at work
├── ForeignAnswer                76  a redirect, HTML, too much, or what is not JSON
├── CredentialRefused            77  403, or the TLS handshake: the agent refuses the credential
├── UnsafeConnection             78  nothing was sent: address, files or the peer are not safe
│   of deployments
├── BadBundle                    65  the folder is not a set of jobs with their programs
├── NoVersion                    66  no such version is kept
├── RolledBack                    *  it was undone; the exit code is that of the cause
├── UndoPending                   *  it could not be undone yet; the next apply does that first
├── RecoveryPending               *  an earlier apply cannot be undone or finished now
├── NotTidied                     *  the new version is in place; the old one was not tidied up
├── WriteRefused              74/77  the file system refused; 77 when rights are missing
├── ApplyUnderWay                75  another apply or rollback is at work on this agent root
├── ProgramInUse                 75  Windows: a run of the program is under way
├── RunFailed                     1  the run that --trigger started did not end with 0
├── UnsafeRoot                   78  other users can replace programs of this agent root
└── BadPolicy                    65  a document is not a JobUpdate policy, or cannot become one

The exit codes are those of a task (`epm_task.exit_code`), with the same meaning.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, Self

from epm_task.errors import EpmTaskError, sentence
from epm_task.exit_code import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class AdminError(EpmTaskError):
    """The agent did not do what was asked; *exit_code* is what `epm-task` ends with."""

    exit_code: int = ExitCode.SOFTWARE

    @classmethod
    def of(cls, error: EpmTaskError, what: str = "") -> Self:
        """Return an error of this class with the reason of another one, of *what* when given."""
        if not what:
            return cls(error.what, error.why, error.fix)
        return cls(what, sentence(error.what, error.why), error.fix)


class WrongUse(AdminError):
    """What was asked cannot be asked like this; nothing was sent."""

    exit_code: int = ExitCode.USAGE


class JobRefused(AdminError):
    """The agent answered 400; *errors* say why, in its words."""

    exit_code: int = ExitCode.DATAERR

    def __init__(self, call: str, errors: Sequence[str]) -> None:
        self.errors: tuple[str, ...] = tuple(errors)
        super().__init__(
            f"the agent refused {call} (400)",
            "; ".join(self.errors) or "it gave no reason",
            "correct the job document, and deploy its binary first (`epm-task jobs validate FILE` "
            "asks without changing anything)",
        )


class UnknownJob(AdminError):
    """The agent answered 404; *job_id* is empty when the path named no job."""

    exit_code: int = ExitCode.NOINPUT

    def __init__(self, call: str, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(
            f"the agent {f'has no job {job_id!r}' if job_id else f'does not know {call}'} (404)",
            fix="compare the id with `epm-task jobs list`: it must match exactly"
            if job_id
            else "the name must match exactly, and an older agent may lack the endpoint",
        )


class AdminUnreachable(AdminError):
    """No connection, or no answer to a question that changes nothing."""

    exit_code: int = ExitCode.UNAVAILABLE

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"no answer from the agent at {url}",
            why,
            "check that the agent's service is running and that the port is right "
            "(`epm-task doctor`)",
        )


class OutcomeUnknown(AdminError):
    """The answer to a call that changes something did not arrive."""

    exit_code: int = ExitCode.IOERR

    def __init__(self, call: str, url: str, why: str) -> None:
        super().__init__(
            f"{call} was sent to {url} and its answer did not arrive",
            f"{why}, so nobody knows whether the agent did it, and it was not sent again",
            "look with `epm-task jobs list` or `get`",
        )


class ForeignAnswer(AdminError):
    """An answer that the agent's API would not give."""

    exit_code: int = ExitCode.PROTOCOL

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"{url} is not the agent's API, or another version of it", why, "check --base-url"
        )


#: `epm-task agent` prints the three paths when it starts.
LOCAL_CREDENTIAL: Final = (
    "an agent of `epm-task agent --root ROOT` takes --cert ROOT/certs/admin.pem "
    "--key ROOT/certs/admin.key --cacert ROOT/certs/ca.pem"
)


class CredentialRefused(AdminError):
    """The answer was 401 or 403; *status* is 0 when the TLS handshake or the broker refused."""

    exit_code: int = ExitCode.NOPERM

    def __init__(self, call: str, why: str, *, status: int) -> None:
        self.status = status
        super().__init__(
            f"the agent refused {call}",
            why,
            "give the client certificate that your Keeper deployment team issued for this agent "
            f"with --cert and --key; {LOCAL_CREDENTIAL}",
        )


class UnsafeConnection(AdminError):
    """The address, a file or the peer cannot be trusted; no request was sent."""

    exit_code: int = ExitCode.CONFIG


_RIGHTS: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BadBundle(AdminError):
    """The folder does not hold jobs with their programs, or has changed meanwhile."""

    exit_code: int = ExitCode.DATAERR


class NoVersion(AdminError):
    """A job or a version of it that is not kept."""

    exit_code: int = ExitCode.NOINPUT


class RolledBack(AdminError):
    """The new version was put in place, failed, and everything is as it was before."""

    def __init__(self, cause: BaseException, as_before: str) -> None:
        self.exit_code: int = _exit_code_of(cause)
        super().__init__(f"it was rolled back, and {as_before}", _reason_of(cause), _fix_of(cause))


class UndoPending(AdminError):
    """The new version failed, and the old one could not be put back yet."""

    def __init__(self, cause: BaseException, why: BaseException) -> None:
        self.exit_code: int = _exit_code_of(cause)
        super().__init__(
            "a part of the new version, which failed, is still in place",
            f"{_reason_of(cause)}; undoing it failed too ({_reason_of(why)})",
            "remove the reason: the next `epm-task deploy apply` or `rollback` undoes it first",
        )


class RecoveryPending(AdminError):
    """An earlier apply was interrupted, and cannot be undone or finished now."""

    def __init__(self, name: str, step: str, why: EpmTaskError) -> None:
        self.exit_code: int = _exit_code_of(why)
        super().__init__(
            f"an apply of {name} was interrupted in its step {step!r}, which must be put right "
            "first and cannot be now, so nothing else was done",
            _reason_of(why),
            why.fix,
        )


class NotTidied(AdminError):
    """The new version is in place and stays; only what is not needed any more was not removed."""

    def __init__(self, name: str, number: int, why: BaseException) -> None:
        self.exit_code: int = _exit_code_of(why)
        super().__init__(
            f"version {number} of {name} is in place, but what was before was not tidied up",
            _reason_of(why),
            "remove the reason: the next `epm-task deploy apply` does that first",
        )


class WriteRefused(AdminError):
    """The operating system refused to write or to move a file."""

    def __init__(self, error: OSError, folder: Path) -> None:
        rights = error.errno in _RIGHTS
        self.exit_code: int = ExitCode.NOPERM if rights else ExitCode.IOERR
        fix = (
            "run this as the owner of the agent root (root, or an administrator)"
            if rights
            else "make room, then run it again"
            if error.errno in _SPACE
            else "remove the reason, then run it again"
        )
        where = error.filename2 or error.filename or folder
        super().__init__(f"{where} was not written", error.strerror or str(error), fix)


class ApplyUnderWay(AdminError):
    """Another process holds the lock of the agent root."""

    exit_code: int = ExitCode.TEMPFAIL

    def __init__(self, root: Path, pid: str) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{who} is deploying to {root} at this moment, so nothing was done",
            fix="wait for its end",
        )


class ProgramInUse(AdminError):
    """Windows does not move a file that another program has open."""

    exit_code: int = ExitCode.TEMPFAIL

    def __init__(self, error: OSError, place: Path) -> None:
        super().__init__(
            f"{place} cannot be replaced ({error.strerror})",
            "a run of it, or another program, such as a virus scanner, has a file in it open",
            "wait for the end of the run, or stop the agent's service, then run it again",
        )


class UnsafeRoot(AdminError):
    """A folder on the way to the programs can be written by others."""

    exit_code: int = ExitCode.CONFIG


class RunFailed(AdminError):
    """The run that --trigger started did not end with exit code 0."""

    exit_code: int = ExitCode.FAILED


class BadPolicy(AdminError):
    """A document is not a JobUpdate policy, or cannot become one."""

    exit_code: int = ExitCode.DATAERR


def _exit_code_of(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.SIGINT
    return int(getattr(error, "exit_code", ExitCode.IOERR))


def _reason_of(error: BaseException) -> str:
    if isinstance(error, EpmTaskError):
        return sentence(error.what, error.why)
    return "stopped by Ctrl-C" if isinstance(error, KeyboardInterrupt) else repr(error)


def _fix_of(error: BaseException) -> str:
    return error.fix if isinstance(error, EpmTaskError) else "run it again"
