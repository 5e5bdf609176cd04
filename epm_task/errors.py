"""The errors of the package: what happened, why, and what to do, as attributes of each.

EpmTaskError                           root of every error of this package
├── TaskError                      70  ends a run; raised itself by nobody
│   ├── TaskFailed               1-63  raised by the handler; `runtime/child.py` has one
│   ├── TemporaryFailure           75  raised by the handler: a later run may succeed
│   ├── DeadlineExceeded          124  the task's own deadline has passed
│   ├── DefinitionError            70  a task or topic is declared in a way that cannot work
│   ├── HandlerCrashed             70  the handler, or a thread of it, let an exception escape
│   ├── ResultNotSerializable      70  the returned value is not a JSON object of at most 64 KiB
│   ├── TopicNotDeclared           70  the handler published on a topic that it did not declare
│   ├── PayloadNotSerializable     70  what it published is not an object: `runtime/context.py`
│   ├── HandlerUnresponsive       125  the handler did not stop and was ended
│   ├── NoDebugger               70  nobody answers a debugger: `runtime/debugger.py`
│   ├── StateUnusable 65, StateNotSerializable 70, StateNotSaved 74: `runtime/state.py`
│   ├── AnotherRun               75  it goes on, and one shall run: `runtime/admission.py`
│   ├── RecordsUndelivered, OutputNotTaken   74  records or the result: `runtime/outcome.py`
│   ├── SystemExhausted            71  no descriptor, thread or memory is left for the run
│   ├── UnsafeConfiguration        78  the surroundings of the process cannot be trusted
│   ├── InvocationError            64  the command line or the environment
│   │   ├── UnknownOption
│   │   ├── MissingArgument
│   │   ├── InvalidArgument
│   │   ├── UnsubstitutedToken
│   │   ├── BadJobId
│   │   ├── BadClientIdTemplate
│   │   └── NoAgent                    no --keeper-api-base: not started by an agent
│   ├── SettingsError              65  a setting is missing or invalid
│   ├── AgentError                 69  the agent's local HTTPS API
│   │   ├── AgentUnreachable       69
│   │   ├── UnknownSetting         66  404
│   │   ├── AgentProtocolError     76  the answer is not that of the API
│   │   ├── NotRegistered          77  403 for the whole window
│   │   └── UnsafeAgent            78  off loopback, no TLS, or an impostor on the port
│   └── BrokerError                69  the agent's MQTT broker
│       ├── BrokerUnreachable      69
│       ├── BrokerRefused          69  the broker refused the connection
│       └── UnsafeBroker           78  off loopback, or an impostor on the port
├── BadJson                            JSON from outside: `contract/json_text.py`
├── CannotStart                        a program of a task: `contract/cannot_start.py`
├── ArgumentsError                     a line of arguments: `contract/argument_line.py`
├── Untrusted                          who holds a port: `runtime/attestation/attestation.py`
├── ManifestError                      the files of a built program: `runtime/manifest.py`
├── TaskFileError, BadProject, NoCommonPath, UnknownCode   jobs in code and their lints: `job/`
├── AdminError                         the Job Management API and deployments: `admin/errors.py`
├── FreezeError                        building an executable: `freeze/`
├── ScaffoldError                      making a project: `scaffold/`
└── StartError                         starting the local agent: `simulator/start_error.py`

The values of settings and secrets never enter a message.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from epm_task.exit_code import AUTHOR_CODES, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable


def sentence(what: str, why: str = "", fix: str = "") -> str:
    """Return the one line that people read: `what: why; fix`, without the parts that are empty."""
    reason = f": {why}" if why else ""
    remedy = f"; {fix}" if fix else ""
    return f"{what}{reason}{remedy}"


class EpmTaskError(Exception):
    """What went wrong, as data; `str()` makes the sentence.

    Attributes:
        what: What happened.
        why: The reason; empty when *what* says it all.
        fix: What to do about it.
    """

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(sentence(what, why, fix))
        self.what = what
        self.why = why
        self.fix = fix


class TaskError(EpmTaskError):
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

    exit_code: int = ExitCode.TEMPFAIL


class DeadlineExceeded(TaskError):
    """The task's own deadline has passed; a handler may raise it when time is short."""

    exit_code: int = ExitCode.DEADLINE

    def __init__(self, message: str = "") -> None:
        """Use the standard sentence when *message* is empty."""
        if message:
            super().__init__(message)
        else:
            super().__init__(
                "the task reached its own deadline",
                fix="raise timeout_seconds, or do less in one run",
            )


class DefinitionError(TaskError, TypeError):
    """A task or a topic is declared in a way that cannot work; seen when the module is imported."""


class HandlerCrashed(TaskError):
    """The handler, or one of its threads, let an exception escape."""

    def __init__(self, what: str) -> None:
        super().__init__(
            what,
            fix="see the traceback in the record above, and raise TaskFailed for a failure that "
            "you expect",
        )


class ResultNotSerializable(TaskError):
    """The handler's result cannot be printed as one JSON object."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "the handler's result was not printed",
            why,
            "return a mapping, a dataclass or a pydantic model of at most 64 KiB of JSON, or None",
        )


class TopicNotDeclared(TaskError):
    """The handler published on a topic that its task does not declare."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, "the agent would drop the message silently", fix)


class HandlerUnresponsive(TaskError):
    """The handler did not stop when it was asked to."""

    exit_code: int = ExitCode.FORCED

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(
            f"{why}, and the handler was still running {seconds:.1f} s later",
            "it was ended",
            "return when ctx.stopping is set",
        )


class SystemExhausted(TaskError):
    """The system has no descriptor, thread or memory left for what the run needs."""

    exit_code: int = ExitCode.OSERR

    def __init__(self, why: str) -> None:
        super().__init__(
            "the system has nothing left for the run",
            why,
            "raise the limits of the agent's processes (such as RLIMIT_NOFILE), or end what uses "
            "it up",
        )

    @classmethod
    def of(cls, error: BaseException | None) -> SystemExhausted | None:
        """Return this error when it is *error*, or the cause of it; None for any other."""
        while error is not None:
            if isinstance(error, SystemExhausted):
                return error
            if isinstance(error, MemoryError):
                return cls("no memory is left")
            if isinstance(error, OSError) and error.errno in _EXHAUSTED:
                return cls(error.strerror or str(error))
            error = error.__cause__
        return None


#: Descriptors of the process and of the system, memory, and kernel memory for sockets.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}


class UnsafeConfiguration(TaskError):
    """The surroundings of the process cannot be trusted."""

    exit_code: int = ExitCode.CONFIG


class InvocationError(TaskError):
    """The command line or the environment of the process is wrong."""

    exit_code: int = ExitCode.USAGE


class UnknownOption(InvocationError):
    """An argument that this task does not have."""

    def __init__(self, option: str, known: Iterable[str]) -> None:
        import difflib  # noqa: PLC0415  # only a mistake pays for it

        near = difflib.get_close_matches(option, list(known), n=1)
        super().__init__(
            f"unknown argument {option}",
            fix=f"did you mean {near[0]}?" if near else "see --help for the options",
        )


class MissingArgument(InvocationError):
    """A required argument is absent."""

    def __init__(self, option: str, token: str) -> None:
        super().__init__(
            f"{option} is required and was not given",
            fix=f'add {option}="{{{token}}}" to the arguments of the job\'s task, or give the '
            "parameter a default",
        )


class InvalidArgument(InvocationError):
    """An argument whose text is not a value of its type."""

    def __init__(self, option: str, why: str) -> None:
        super().__init__(f"{option}: {why}", fix="see --help for what it takes")


class UnsubstitutedToken(InvocationError):
    """An argument that still holds a token in braces."""

    def __init__(self, option: str, token: str) -> None:
        super().__init__(
            f"{option} still holds {token}",
            "the agent did not substitute it",
            "declare the parameter in the job, spelled as in the token (case counts outside "
            "Windows)",
        )


class BadJobId(InvocationError):
    """A job id that the broker or the API cannot carry."""

    def __init__(self, job_id: str, why: str, repaired: str) -> None:
        super().__init__(
            f"job id {job_id!r} {why}", fix=f"rename the job, for example {repaired!r}"
        )


class BadClientIdTemplate(InvocationError):
    """A client id template in which the broker would not find the job id."""

    def __init__(self, template: str, why: str, default: str) -> None:
        super().__init__(
            f"--client-id-template {template!r}", why, f"leave it out: the default is {default}"
        )


class NoAgent(InvocationError):
    """The program was started without an agent."""

    def __init__(self, command: str) -> None:
        super().__init__(
            "--keeper-api-base was not given",
            "no agent started this program",
            f"to try it on this machine type: {command}",
        )


class SettingsError(TaskError):
    """A setting of the agent is missing or invalid."""

    exit_code: int = ExitCode.DATAERR

    def __init__(self, plugin: str, key: str, why: str) -> None:
        super().__init__(
            f"setting {key} of {plugin} {why}",
            fix="correct it in the policy, or in the plugin's JSON on disk",
        )


class AgentError(TaskError):
    """The agent's local HTTPS API did not serve this run."""

    exit_code: int = ExitCode.UNAVAILABLE


class AgentUnreachable(AgentError):
    """No usable answer came in time."""

    def __init__(self, url: str, seconds: float, why: str) -> None:
        super().__init__(
            f"no answer from the agent at {url} in {seconds:.1f} s",
            why,
            "check that the agent's service is running and that the port is right",
        )


class UnknownSetting(AgentError):
    """The agent does not know the plugin or the setting (404)."""

    exit_code: int = ExitCode.NOINPUT

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the agent does not know {name} (404)",
            fix="deploy the plugin, or correct the name: it must match exactly",
        )


class AgentProtocolError(AgentError):
    """An answer that the agent's API would not give."""

    exit_code: int = ExitCode.PROTOCOL

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            url,
            why,
            "check --keeper-api-base: this is not the agent's API, or another version of it",
        )


class NotRegistered(AgentError):
    """The agent answered 403 for the whole registration window."""

    exit_code: int = ExitCode.NOPERM

    def __init__(self, pid: int, seconds: float, tries: int) -> None:
        super().__init__(
            f"the agent answered 403 to all {tries} requests in {seconds:.1f} s",
            f"process {pid} is not registered as started by the agent, which is what gives it the "
            "Plugin tier",
            "start it as a job task, not by hand, not through a wrapper, and not as a one-file "
            "executable",
        )


class UnsafeAgent(AgentError):
    """The address is not one that only the agent can have."""

    exit_code: int = ExitCode.CONFIG


class BrokerError(TaskError):
    """The agent's MQTT broker did not serve this run."""

    exit_code: int = ExitCode.UNAVAILABLE


class BrokerUnreachable(BrokerError):
    """No MQTT connection could be made in time."""

    def __init__(self, address: str, seconds: float, why: str) -> None:
        super().__init__(
            f"no MQTT connection to {address} in {seconds:.1f} s",
            why,
            'check that the agent runs; @task(broker="optional") runs without it',
        )


class BrokerRefused(BrokerError):
    """The broker refused the connection."""

    def __init__(self, address: str, reason: str, client_id: str) -> None:
        super().__init__(
            f"the broker at {address} refused the client id {client_id!r}",
            reason,
            "start the process through the agent, give the job mqttTopics, and sign its program",
        )


class UnsafeBroker(BrokerError):
    """The broker's address is not one that only the agent can have."""

    exit_code: int = ExitCode.CONFIG
