"""Read what one start of the process was given, in argv and in the environment."""

# Annotations are not texts here: a NamedTuple would compile each of them at every start.

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from epm_task.contract.client_id import DEFAULT_TEMPLATE, check_job_id
from epm_task.contract.levels import LogLevel
from epm_task.contract.names import API_BASE_OPTION, JOB_ID_VARIABLE, JOB_NAME_VARIABLE
from epm_task.errors import (
    InvalidArgument,
    MissingArgument,
    NoAgent,
    UnknownOption,
    UnsafeConfiguration,
    UnsubstitutedToken,
)
from epm_task.runtime.parameter import Parameter

#: What every task understands, described once.
RUNTIME_ARGUMENTS: Final = (
    Parameter("keeper_api_base", str, None, help="base URL of the agent: {KeeperApiBaseUrl}"),
    Parameter("ca_file", Path, None, help="CA bundle that signs the agent's certificate"),
    Parameter("registration_timeout", float, 15.0, help="seconds to wait for the registration"),
    Parameter("flush_timeout", float, 5.0, help="seconds that unsent records may delay the end"),
    Parameter("deadline", float, None, help="seconds after which the task stops itself"),
    Parameter("log_level", LogLevel, "information", help="lowest level of the records"),
    Parameter("client_id_template", str, DEFAULT_TEMPLATE, help="MQTT client id", raw=True),
    Parameter("task", str, None, help="the task to run, when the file holds several"),
    Parameter("spread", bool, True, help="wait for its turn"),
    Parameter("started_by", str, "", help="the event that started the job; it begins at once"),
)
#: Options that answer on stdout without an agent; `--selftest` is kept for frozen executables.
INFORMATIVE_OPTIONS: Final = ("--selftest", "--help", "--version")
RESERVED_OPTIONS: Final = (
    *INFORMATIVE_OPTIONS,
    *(argument.option for argument in RUNTIME_ARGUMENTS),
)
#: Lets a run begin without the delay of `spread_minutes`.
AT_ONCE: Final = "--no-spread"
#: What no parameter of a task can be: those, and the other word of each flag.
TAKEN_OPTIONS: Final = (
    *RESERVED_OPTIONS,
    *(f"--no-{argument.option[2:]}" for argument in RUNTIME_ARGUMENTS if argument.flag),
)

#: Seconds beyond a day cannot be meant: no agent waits so long for a task.
_MAX_SECONDS: Final = 86_400.0


#: What a caller sets in the environment, as OpenTelemetry does (its specification, "Environment
#: Variables as Context Propagation Carriers").
_TRACE_PARENT_VARIABLE: Final = "TRACEPARENT"
_TRACE_STATE_VARIABLE: Final = "TRACESTATE"

#: Version, trace id, span id and flags; a later version may have more (Trace Context, 3.2).
_PARENT: Final = (
    "(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_KNOWN_VERSION: Final = "00"
#: Flags of a trace that begins here: it is recorded.
_SAMPLED: Final = "01"
#: A receiver takes at least so much (Trace Context, 3.3.1.5).
_MOST_STATE: Final = 512


class Trace(NamedTuple):
    """The place of a run in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits, the same for all that one cause has started.
        span_id: 16 hexadecimal digits: the caller's span, or that of this run.
        flags: Two hexadecimal digits, passed on as they came.
        state: What vendors of tracing systems have added; passed on as it came.
        ignored: What the environment said and nobody can read; "" else.
    """

    trace_id: str
    span_id: str
    flags: str = _SAMPLED
    state: str = ""
    ignored: str = ""

    def environment(self) -> dict[str, str]:
        """Return what children get, so that what they record belongs to the same trace."""
        parent = f"{_KNOWN_VERSION}-{self.trace_id}-{self.span_id}-{self.flags}"
        return {
            _TRACE_PARENT_VARIABLE: parent,
            **({_TRACE_STATE_VARIABLE: self.state} if self.state else {}),
        }


def read_trace(environ: Mapping[str, str], run_id: str) -> Trace:
    """Return the trace that *environ* names; without one the run begins its own."""
    given = environ.get(_TRACE_PARENT_VARIABLE, "")
    match = re.fullmatch(_PARENT, given) if given else None
    if match is None or (match[1] == _KNOWN_VERSION and match[5]):
        return Trace(os.urandom(16).hex(), run_id, ignored=given)
    state = environ.get(_TRACE_STATE_VARIABLE, "")
    usable = len(state) <= _MOST_STATE and state.isascii() and state.isprintable()
    return Trace(match[2], match[3], match[4], state if usable else "")


class Invocation(NamedTuple):
    """One start of the process: the values of `RUNTIME_ARGUMENTS`, and what comes beside them."""

    keeper_api_base: str | None
    ca_file: Path | None
    registration_timeout: float
    flush_timeout: float
    deadline: float | None
    log_level: LogLevel
    client_id_template: str
    spread: bool
    started_by: str
    #: Values of the handler's parameters by name.
    arguments: dict[str, Any]
    #: From `KEEPER_JOB_ID`; None when the job has no `mqttTopics`.
    job_id: str | None
    job_name: str
    #: Sixteen random hexadecimal digits.
    run_id: str
    trace: Trace


def read_invocation(
    parameters: Iterable[Parameter], argv: Sequence[str], environ: Mapping[str, str]
) -> Invocation:
    """Return the invocation that *argv* (without the program) and *environ* describe.

    Raises:
        InvocationError: An argument is unknown, missing, given twice, not substituted or no value
            of its type; or the job id is not usable.
    """
    handler_parameters = tuple(parameters)
    values = parse_arguments((*RUNTIME_ARGUMENTS, *handler_parameters), argv)
    runtime = {argument.name: values.pop(argument.name) for argument in RUNTIME_ARGUMENTS}
    del runtime["task"]
    for name in ("registration_timeout", "flush_timeout", "deadline"):
        if runtime[name] is not None and not 0 <= runtime[name] <= _MAX_SECONDS:
            raise InvalidArgument(f"--{name.replace('_', '-')}", "must be 0 to 86400 seconds")
    job_id = environ.get(JOB_ID_VARIABLE) or None
    run_id = os.urandom(8).hex()
    return Invocation(
        **runtime,
        arguments=values,
        job_id=check_job_id(job_id) if job_id else None,
        job_name=environ.get(JOB_NAME_VARIABLE, ""),
        run_id=run_id,
        trace=read_trace(environ, run_id),
    )


def parse_arguments(parameters: Sequence[Parameter], argv: Sequence[str]) -> dict[str, Any]:
    """Return the value of every parameter by name, defaults included.

    Raises:
        InvocationError: As for `read_invocation`.
    """
    given = given_texts(parameters, argv)
    values: dict[str, Any] = {}
    for parameter in parameters:
        texts = parameter.given(given.get(parameter.name, ()))
        if len(texts) > 1 and not parameter.repeated:
            raise InvalidArgument(parameter.option, "was given twice")
        if texts:
            values[parameter.name] = parameter.value(texts)
        elif parameter.required:
            raise MissingArgument(parameter.option, parameter.token)
        else:
            default = parameter.default
            values[parameter.name] = list(default) if isinstance(default, list) else default
    return values


def process_arguments() -> list[str]:
    """Return the arguments of the process, without the program; the one place that reads them."""
    return sys.argv[1:]


def started_by_agent(argv: Sequence[str]) -> bool:
    """Tell whether an agent wrote *argv*: it gives its own address to every task."""
    return any(word.partition("=")[0] == API_BASE_OPTION for word in argv)


def helps_multiprocessing(argv: Sequence[str]) -> bool:
    """Tell whether `multiprocessing` started this executable: as a worker, or to look after some.

    It takes an executable for an interpreter, and passes it `--multiprocessing-fork`, or flags of
    Python and `-c` with a line of its own.
    """
    return getattr(sys, "frozen", False) and (
        "--multiprocessing-fork" in argv[:1]
        or ("-c" in argv[:-1] and "from multiprocessing." in argv[argv.index("-c") + 1])
    )


def information_asked_for(argv: Sequence[str]) -> str:
    """Return `--selftest`, `--help` or `--version`, the first of these that *argv* holds, or ""."""
    return next((option for option in INFORMATIVE_OPTIONS if option in argv), "")


def task_asked_for(argv: Sequence[str]) -> str | None:
    """Return the value of `--task`, before it is known whose parameters the rest of *argv* are."""
    for position, word in enumerate(argv):
        option, equals, value = word.partition("=")
        if option == "--task":
            return value if equals else next(iter(argv[position + 1 :]), None)
    return None


def given_texts(parameters: Sequence[Parameter], argv: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts that *argv* gives each parameter, by name.

    Raises:
        InvocationError: An argument is unknown, without a value, or not substituted.
    """
    by_option = {parameter.option: parameter for parameter in parameters}
    negative = {f"--no-{p.option[2:]}": p for p in parameters if p.flag}
    given: dict[str, list[str]] = {}
    words = iter(range(len(argv)))
    for position in words:
        option, equals, text = argv[position].partition("=")
        parameter = by_option.get(option) or negative.get(option)
        if parameter is None:
            raise UnknownOption(option, [*by_option, *negative, *INFORMATIVE_OPTIONS])
        if option in negative:
            text = _negate(option, text) if equals else "false"
        elif parameter.flag and not equals:
            text = "true"
        elif not equals:
            text = _next_word(argv, next(words, None), option)
        if "{" in text and (token := parameter.unfilled(text)):
            raise UnsubstitutedToken(option, token)
        given.setdefault(parameter.name, []).append(text)
    return given


def _negate(option: str, text: str) -> str:
    from epm_task.runtime.value_text import parse_bool  # noqa: PLC0415  # rare

    try:
        return str(not parse_bool(text)).lower() if text else ""
    except ValueError as error:
        raise InvalidArgument(option, str(error)) from None


def _next_word(argv: Sequence[str], position: int | None, option: str) -> str:
    if position is None or argv[position].startswith("--"):
        raise InvalidArgument(option, f"needs a value: {option}=VALUE")
    return argv[position]


def check_surroundings(invocation: Invocation, file: Path, argv: Sequence[str]) -> str:
    """Return the agent's base URL when the process was started in a way that can work.

    Raises:
        NoAgent: No base URL was given, so no agent started the process.
        UnsafeConfiguration: The program is a one-file executable.
    """
    if one_file_build():
        raise UnsafeConfiguration(
            "this is a one-file executable",
            "it runs in a child of the process that the agent started and trusts, and unpacks "
            "itself into a temporary folder",
            "build it as one folder (pyinstaller --onedir)",
        )
    if invocation.keeper_api_base is None:
        from epm_task.contract.argument_line import command_text  # noqa: PLC0415  # people only

        arguments = ("--", *argv) if argv else ()
        raise NoAgent(command_text(("epm-task", "run", _shown(file), *arguments)))
    return invocation.keeper_api_base


def one_file_build() -> bool:
    """Tell whether PyInstaller's bootloader unpacked this program into a temporary folder."""
    unpacked = getattr(sys, "_MEIPASS", None)
    if not getattr(sys, "frozen", False) or unpacked is None:
        return False
    return Path(sys.executable).resolve().parent not in Path(unpacked).resolve().parents


def _shown(file: Path) -> str:
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(file)
