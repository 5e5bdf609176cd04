"""What an author declares once, in `@task(…)`; the job document is made from it."""

# Annotations are not texts here: a NamedTuple would compile each of them at every start.

import re
from typing import Any, Final, Literal, NamedTuple, get_args

from epm_task.contract.levels import Threshold
from epm_task.contract.names import (
    EXECUTION_TYPES,
    LONGEST_SECONDS,
    OS_NAMES,
    SERVICE,
    ExecutionType,
    OsName,
    is_device,
)
from epm_task.contract.topic import Topic

#: A task stops itself this long before the agent would kill it: 10 s, or 5 % of a long time-out.
_MARGIN_SECONDS: Final = 10.0
_MARGIN_SHARE: Final = 0.05
_TYPES: Final[dict[str, tuple[str, Any]]] = {
    **dict.fromkeys(("job_id", "job_name", "cron", "run_at", "command"), ("a text", str)),
    **dict.fromkeys(
        ("timeout_seconds", "every_minutes", "spread_minutes"), ("a number", (int, float))
    ),
    "priority": ("a whole number", int),
    "strict_logs": ("True or False", bool),
}
#: A run that waits holds a process; a day is more than any fleet needs.
_LONGEST_SPREAD: Final = 24 * 60
#: The name of a folder and of a file, on every system.
_COMMAND: Final = "[A-Za-z0-9][A-Za-z0-9_-]*"


class Declaration(NamedTuple):
    """The facts of one task that its function does not show.

    Attributes:
        job_id: Id of the job document, and its file name.
        job_name: Name for people.
        description: One line; the first of the docstring.
        every_minutes: Interval in minutes, from a second to a year; the first run comes after one
            whole interval.
        cron: Cron expression of five fields.
        run_at: Moment of a single run, ISO 8601.
        events: Event types that start the job, for example `Startup`.
        priority: 1 to 10.
        timeout_seconds: The agent kills the task after this many seconds.
        publishes: Topics beside KeeperLogger that the handler publishes on.
        subscribes: Topics that `ctx.messages` may read.
        event_topic: The job's `eventTopic`; the handler may publish on it.
        os_filter: The systems on which the job runs; empty means all.
        execution_type: As whom the agent starts the process.
        command: Name of the executable, without path and extension; None means the job id
            in CamelCase, or for the file's name when it holds several tasks.
        broker: `optional` runs the handler without a broker, records on stderr.
        mirror: Records of this level or above are on stderr before the log call returns.
        strict_logs: A record that the broker did not acknowledge makes the exit code 74.
        spread_minutes: Each machine of a fleet begins a scheduled run at a moment of its own in
            this time; it comes on top of `timeout_seconds`.
        overlap: What a run does while another one of the task goes on: run beside it, `skip` with
            the exit code 75, or `wait` for its end.
    """

    job_id: str
    job_name: str
    description: str
    every_minutes: float | None = None
    cron: str | None = None
    run_at: str | None = None
    events: tuple[str, ...] = ()
    priority: int = 5
    timeout_seconds: float | None = None
    publishes: tuple[Topic[object], ...] = ()
    subscribes: tuple[Topic[object], ...] = ()
    event_topic: Topic[object] | None = None
    os_filter: tuple[OsName, ...] = ()
    execution_type: ExecutionType = SERVICE
    command: str | None = None
    broker: Literal["required", "optional"] = "required"
    mirror: Threshold = "warning"
    strict_logs: bool = False
    spread_minutes: float | None = None
    overlap: Literal["allow", "skip", "wait"] = "allow"

    @property
    def own_publications(self) -> list[str]:
        """Names of the topics on which the handler may publish, in the order of declaration."""
        event_topic = () if self.event_topic is None else (self.event_topic,)
        return list(dict.fromkeys(topic.name for topic in (*self.publishes, *event_topic)))

    @property
    def own_deadline_seconds(self) -> float | None:
        """Seconds from the start after which the task stops itself; None without a time-out."""
        if self.timeout_seconds is None:
            return None
        margin = max(_MARGIN_SECONDS, _MARGIN_SHARE * self.timeout_seconds)
        return self.timeout_seconds - min(margin, self.timeout_seconds / 2)


def check_declaration(declaration: Declaration) -> None:
    """Refuse what can be seen to be wrong when the module is imported.

    Raises:
        ValueError: A value is outside what the agent takes; the message says which.
    """
    _check_types(declaration)
    allowed = {
        "broker": ("required", "optional"),
        "mirror": get_args(Threshold),
        "overlap": ("allow", "skip", "wait"),
        "execution_type": EXECUTION_TYPES,
    }
    for name, choices in allowed.items():
        if getattr(declaration, name) not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}")
    if not set(declaration.os_filter) <= set(OS_NAMES):
        raise ValueError(f"os_filter must hold some of {', '.join(OS_NAMES)}")
    event_topic = () if declaration.event_topic is None else (declaration.event_topic,)
    topics = (*declaration.publishes, *declaration.subscribes, *event_topic)
    if not all(isinstance(topic, Topic) for topic in topics):
        raise ValueError('a topic must be a Topic: Topic("Jobs/my-job/results")')
    command = declaration.command
    if command is not None and (not re.fullmatch(_COMMAND, command) or is_device(command)):
        raise ValueError(
            "command must be a name of letters, digits, `_` and `-`, and no device of Windows"
        )
    if not 1 <= declaration.priority <= 10:
        raise ValueError("priority must be 1 to 10")
    _check_times(declaration)


def _check_types(declaration: Declaration) -> None:
    for name, (what, kinds) in _TYPES.items():
        value = getattr(declaration, name)
        odd = isinstance(value, bool) and name != "strict_logs"  # True is a number, too
        if value is not None and (odd or not isinstance(value, kinds)):
            raise ValueError(f"{name} must be {what}, not {value!r:.80}")


def _check_times(declaration: Declaration) -> None:
    seconds, minutes = declaration.timeout_seconds, declaration.every_minutes
    if seconds is not None and not 0 < seconds <= LONGEST_SECONDS:  # nor is NaN
        raise ValueError("timeout_seconds must be above 0, and at most a year")
    spread = declaration.spread_minutes
    if spread is not None and not 0 < spread <= _LONGEST_SPREAD:
        raise ValueError("spread_minutes must be above 0, and at most a day (1440)")
    if minutes is not None and not 1 <= minutes * 60 <= LONGEST_SECONDS:
        raise ValueError("every_minutes must be from a second (0.017) to a year")
    schedules = (declaration.every_minutes, declaration.cron, declaration.run_at)
    if sum(schedule is not None for schedule in schedules) > 1:
        raise ValueError("give only one of every_minutes, cron and run_at")


def check_schedule(declaration: Declaration) -> None:
    """Refuse a schedule that the agent could not read, if what reads it is installed.

    Raises:
        ValueError: The message says what is wrong.
    """
    kinds = {"cron": "cronExpression", "run_at": "runAt"}
    declared = {name: value for name in kinds if (value := getattr(declaration, name)) is not None}
    if not declared:
        return
    try:
        from epm_task.contract.schedule import kind_problem  # noqa: PLC0415  # for authors only
    except ImportError:
        return  # checked where the job document was made
    for name, value in declared.items():
        if why := kind_problem(kinds[name], value):
            raise ValueError(f"{name} {why}")
