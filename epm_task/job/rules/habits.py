"""The rules of habits: what a task's code asks for that its job cannot give."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.names import SERVICE, execution_type_of
from epm_task.contract.schedule import schedule_kinds
from epm_task.job.rule import Hit, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.job.subject import Part, Subject
    from epm_task.runtime.task import Task

_SECONDS: Final = 60
#: Libraries with an MQTT client of their own.
_CLIENTS: Final = {"aiomqtt", "amqtt", "gmqtt", "paho"}


@rule("EPM032", "delay that does not fit the schedule")
def spread_fits(subject: Subject) -> Iterator[Hit]:
    """`spread_minutes` delays each scheduled run by a time of the machine's own.

    A job that only events or people start begins at once, so the delay has no effect there. With an
    interval that is not longer than the delay, runs of one machine come at uneven times and may
    overlap. A `timeoutSeconds` that is not above the delay ends the run before it has begun.

    - wrong: `@task(spread_minutes=60, every_minutes=30)`
    - right: `@task(spread_minutes=15, every_minutes=60)`
    """
    minutes = subject.interval_minutes
    for step, task in _known(subject):
        spread = task.declaration.spread_minutes
        seconds: Any = step.fields.get("timeoutSeconds")
        if spread is None:
            continue
        if not schedule_kinds(subject.schedule):
            what = f"{task.name} has spread_minutes, and no schedule starts the job"
            yield Hit(subject.root.at("schedule"), what, "add a schedule, or remove spread_minutes")
        elif minutes is not None and minutes <= spread:
            what = f"the interval of {minutes:g} min is not longer than the delay of {spread:g} min"
            fix = "shorten spread_minutes, or lengthen the interval"
            yield Hit("/schedule/intervalMinutes", what, fix)
        elif isinstance(seconds, int | float) and seconds <= spread * _SECONDS:
            what = (
                f"timeoutSeconds {seconds:g} ends a run before its delay of {spread:g} min is over"
            )
            fix = "write the document anew with `epm-task job FILE -o`"
            yield Hit(step.at("timeoutSeconds"), what, fix)


@rule("EPM033", "wait for another run that may take all the time")
def wait_has_time(subject: Subject) -> Iterator[Hit]:
    """With `overlap="wait"` the time that a run waits counts: its own time-out goes on meanwhile.

    When the interval is shorter than the time-out, runs that take long line up one behind the
    other, and each is ended before it has begun. `skip` leaves such a run out instead.

    - wrong: `@task(overlap="wait", every_minutes=5, timeout_seconds=600)`
    - right: `@task(overlap="skip", every_minutes=5, timeout_seconds=600)`
    """
    minutes = subject.interval_minutes
    for step, task in _known(subject):
        seconds: Any = step.fields.get("timeoutSeconds")
        if task.declaration.overlap != "wait" or minutes is None:
            continue
        if isinstance(seconds, int | float) and minutes * _SECONDS < seconds:
            yield Hit(
                step.at("timeoutSeconds"),
                f"{task.name} waits for its last run, which may take {seconds:g} s, and the next "
                f"one comes after {minutes * _SECONDS:g} s",
                'say overlap="skip", or shorten the time-out',
            )


@rule("EPM034", "state of a task that runs as a user")
def state_of_service(subject: Subject) -> Iterator[Hit]:
    """A state belongs to the account of the process, so a `User` task has one for each user.

    On a machine with several users, or after a user was removed, such a task does not find what it
    has kept. Ignore this rule when a state for each user is meant.

    - wrong: `@task(execution_type="User")` with `ctx.state`
    - right: `@task()` with `ctx.state`
    """
    for step, task in _known(subject):
        if execution_type_of(step.fields) != SERVICE and _keeps_state(task):
            yield Hit(
                step.at("ExecutionType"),
                f"{task.name} keeps a state, and each user has another one",
                "run it as Service, or ignore EPM034 when that is meant",
            )


@rule("EPM035", "subscribed topic that nobody reads")
def subscriptions_are_read(subject: Subject) -> Iterator[Hit]:
    """The task declares `subscribes=[…]`, and no code in its file reads messages.

    `ctx.messages(TOPIC)` does, or an MQTT client that the file imports. What is allowed and not
    needed is a way in that nobody looks after.

    - wrong: `@task(subscribes=[COMMANDS])` without `ctx.messages`
    - right: `for command in ctx.messages(COMMANDS, timeout_seconds=60): …`
    """
    for _, task in _known(subject):
        declared = task.declaration.subscribes
        if declared and not _reads_messages(task):
            names = ", ".join(topic.name for topic in declared)
            yield Hit(
                subject.mqtt_topics.at("allowedSubscriptions"),
                f"{task.name} may subscribe to {names}, and reads no messages",
                "read it with ctx.messages, or remove it from subscribes",
            )


def _known(subject: Subject) -> Iterator[tuple[Part, Task[..., Any]]]:
    """Yield each step of the document with the task in code that it runs."""
    tasks = {task.name: task for task in (subject.job.tasks if subject.job else ())}
    for step in subject.tasks:
        if (task := tasks.get(step.text("id"))) is not None:
            yield step, task


def _keeps_state(task: Task[..., Any]) -> bool:
    return task.handler.state_type is not None or "state" in _attributes(task)


def _reads_messages(task: Task[..., Any]) -> bool:
    tree = _parsed(task)
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    return "messages" in _attributes(task) or bool(imported & _CLIENTS)


def _attributes(task: Task[..., Any]) -> set[str]:
    return {node.attr for node in ast.walk(_parsed(task)) if isinstance(node, ast.Attribute)}


def _parsed(task: Task[..., Any]) -> ast.AST:
    try:
        return ast.parse(task.file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # it was read before, and has changed since
        return ast.Module(body=[], type_ignores=[])
