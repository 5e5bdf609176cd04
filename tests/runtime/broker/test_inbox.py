"""Messages to a task: typed, bounded, acknowledged after the loop's body, and gone with the run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import PATIENCE
from peers.task_process import PROGRAMS

from epm_task import Topic
from epm_task.job.task_file import read_task_file
from epm_task.runtime.broker.inbox import MOST_WAITING, Inbox, Messages
from epm_task.runtime.broker.packet import Arrival, puback_packet, subscribe_packet
from epm_task.testing import Agent, make_context

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.simulator.background import StartedRun
    from epm_task.testing import Record

TASKS: dict[str, Any] = dict(read_task_file(PROGRAMS / "reader.py").tasks)
COMMANDS, PLAIN = "Commands/reader", "Commands/plain"


def reading(box: Agent, name: str, **parameters: Any) -> StartedRun:
    """Start a run; return when the broker knows what it reads."""
    ready = threading.Event()

    def look(record: Record) -> None:
        """Set the event."""
        if record.message == "reading":
            ready.set()

    started = box.start(TASKS[name], parameters=parameters, on_record=look)
    assert ready.wait(PATIENCE)
    # The subscription was sent before that record, and a broker answers in order.
    return started


@pytest.mark.parametrize(("qos", "count"), [(0, 50), (1, 300), (2, 300)])
def test_messages_come_typed_and_in_order(box: Agent, qos: int, count: int) -> None:
    """With QoS 1 and 2 also more than are under way at a time."""
    started = reading(box, "reader", count=count)
    for number in range(count):
        box.publish(COMMANDS, {"number": number}, qos=qos)
    run = started.wait(PATIENCE)
    assert run.exit_code == 0, run.stderr
    assert run.result == {"seen": list(range(count))}


def test_a_coroutine_reads_too(box: Agent) -> None:
    """Each message wakes it."""
    started = reading(box, "async-reader", count=50)
    for number in range(50):
        box.publish(PLAIN, {"number": number})
    assert started.wait(PATIENCE).result == {"seen": list(range(50))}


@pytest.mark.parametrize("name", ["reader", "async-reader"])
def test_the_loop_ends_when_nothing_comes(box: Agent, name: str) -> None:
    """And the run as any other."""
    run = box.run(TASKS[name], parameters={"count": 1, "idle": 0.2})
    assert (run.exit_code, run.result) == (0, {"seen": []})


@pytest.mark.parametrize("name", ["reader", "async-reader"])
@pytest.mark.wine_differs("it sends no CTRL_BREAK")
def test_the_loop_ends_with_the_run(box: Agent, name: str) -> None:
    """A stop interrupts the wait."""
    started = reading(box, name, count=1)
    started.terminate()
    assert started.wait(PATIENCE).exit_code in {143, 149}


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"no JSON", "it is not JSON"),
        (b"[1]", "not an object"),
        (b"", "it is not JSON"),
        (b'{"number": "many"}', "number: Input should be a valid integer"),
        (b'{"text": "x"}', "number: "),
        (b'{"number": 1, "number": 2}', "twice"),
        (b'{"number": 1, "text": "' + b"x" * 1024 * 1024 + b'"}', "larger than 1 MiB"),
        ("ä".encode("latin-1"), "UTF-8"),
    ],
)
def test_what_is_not_usable_is_told_and_passed_over(box: Agent, payload: bytes, why: str) -> None:
    """The next message comes all the same; no value is shown."""
    started = reading(box, "reader", count=1)
    box.publish(COMMANDS, payload)
    box.publish(COMMANDS, {"number": 7})
    run = started.wait(PATIENCE)
    assert run.result == {"seen": [7]}
    (told,) = [one for one in run.records if one.message == "message_not_usable"]
    assert why in told.properties["why"]
    assert told.properties["bytes"] == len(payload)
    assert "many" not in str(told)


def test_what_is_larger_than_a_packet_may_be_does_not_come(box: Agent) -> None:
    """The broker was told; the run goes on."""
    started = reading(box, "reader", count=1)
    box.publish(COMMANDS, b'{"number": 1, "text": "' + b"x" * 3 * 1024 * 1024 + b'"}')
    box.publish(COMMANDS, {"number": 7})
    assert started.wait(PATIENCE).result == {"seen": [7]}


def test_what_was_retained_does_not_come(box: Agent) -> None:
    """A command of long ago is not carried out in every run."""
    box.publish(COMMANDS, {"number": 1}, retain=True)
    try:
        started = reading(box, "reader", count=1)
        box.publish(COMMANDS, {"number": 7})
        assert started.wait(PATIENCE).result == {"seen": [7]}
    finally:
        box.publish(COMMANDS, b"", retain=True)


def test_ten_thousand_at_once(box: Agent) -> None:
    """None is lost, and the broker keeps what the task has no room for."""
    started = reading(box, "reader", count=10_000)

    def burst() -> None:
        """Publish from the agent's thread."""
        for number in range(1000):
            box._local.broker.publish(_message(number))

    for _ in range(10):
        box.call_in_loop(burst)
    run = started.wait(PATIENCE)
    assert run.result is not None
    assert run.result["seen"] == [*range(1000)] * 10


def _message(number: int) -> Any:
    from epm_task.simulator.broker import Message

    return Message(COMMANDS, b'{"number": %d}' % number, qos=1)


def test_a_loop_that_never_reads_holds_no_more_than_it_has_room_for(
    box: Agent, tmp_path: Path
) -> None:
    """Its records go on, and the run ends."""
    started = reading(box, "hoarder", until=str(tmp_path / "go"))
    for number in range(1000):
        box.publish(COMMANDS, {"number": number})
    (tmp_path / "go").touch()
    assert started.wait(PATIENCE).exit_code == 0


def test_a_crash_ends_the_run_as_any_other(box: Agent) -> None:
    """In the middle of a loop."""
    started = reading(box, "reader", count=10, crash_at=2)
    for number in range(4):
        box.publish(COMMANDS, {"number": number})
    run = started.wait(PATIENCE)
    assert run.exit_code == 70
    commands = [one.properties["number"] for one in run.records if one.message == "command"]
    assert commands == [0, 1, 2]


def _arrival(number: int) -> Arrival:
    return Arrival(PLAIN, b'{"number": %d}' % number, number, retained=False)


def test_a_message_is_acknowledged_when_it_was_dealt_with() -> None:
    """Not when it has come, nor when it is seen; at the next one, or when the handler returns."""
    inbox = Inbox(make_context().log)
    inbox.begin(mqtt5=True)
    messages = Messages(Topic[dict[str, int]](PLAIN), inbox, timeout_seconds=0.0)
    assert inbox.outgoing() == subscribe_packet(PLAIN.encode(), 65_001, mqtt5=True)
    inbox.receive([_arrival(1), _arrival(2)])
    assert next(messages) == {"number": 1}
    assert inbox.outgoing() == b""
    assert next(messages) == {"number": 2}
    assert inbox.outgoing() == puback_packet(1)
    inbox.acknowledge()
    assert inbox.outgoing() == puback_packet(2)
    assert list(messages) == []
    assert inbox.outgoing() == b""


def test_a_new_connection_knows_no_message_of_the_old_one() -> None:
    """What had come is still there, and is acknowledged to nobody."""
    inbox = Inbox(make_context().log)
    messages = Messages(Topic[dict[str, int]](PLAIN), inbox, timeout_seconds=0.0)
    inbox.begin(mqtt5=False)
    assert inbox.outgoing() == subscribe_packet(PLAIN.encode(), 65_001, mqtt5=False)
    inbox.receive([_arrival(1)])
    inbox.end()
    assert not inbox.waiting
    inbox.begin(mqtt5=True)
    inbox.outgoing()
    assert list(messages) == [{"number": 1}]
    assert inbox.outgoing() == b""


@pytest.mark.parametrize("count", [0, 2, 5])
def test_a_context_of_a_test_gives_messages(count: int) -> None:
    """The loop ends when all were read."""
    topic = TASKS["reader"].declaration.subscribes[0]
    given = [{"number": number} for number in range(count)]
    context = make_context(messages={topic: given})
    assert TASKS["reader"](context, count=3) == {"seen": list(range(min(count, 3)))}


def test_what_has_no_room_stays_at_the_broker() -> None:
    """It is told once."""
    context = make_context()
    inbox = Inbox(context.log)
    inbox.begin(mqtt5=False)
    inbox.subscribe(PLAIN)
    inbox.outgoing()
    inbox.receive([_arrival(number) for number in range(MOST_WAITING)])
    for number in range(3):
        inbox.receive([_arrival(1000 + number)])
    assert [one.message for one in context.records] == ["messages_left_at_the_broker"]
    assert inbox.outgoing() == b""


def test_the_broker_may_restart_meanwhile(box: Agent) -> None:
    """The subscription is made anew."""
    again = threading.Event()
    started = reading(box, "reader", count=2)
    box.publish(COMMANDS, {"number": 1})
    box.trace.subscribe(lambda event: again.set() if event.action == "subscribed" else None)
    state = box._local.broker._state

    def cut() -> None:
        """End all connections."""
        for connection in list(state.connections):
            connection.hang_up()

    box.call_in_loop(cut)
    assert again.wait(PATIENCE)
    box.publish(COMMANDS, {"number": 2})
    run = started.wait(PATIENCE)
    assert run.result is not None
    assert run.result["seen"][-1] == 2


def test_an_undeclared_topic_is_refused_at_the_call(box: Agent) -> None:
    """With the line to add."""
    run = box.run(TASKS["undeclared"])
    assert run.exit_code == 70
    assert b"add it: @task(subscribes=[\xe2\x80\xa6, Topic('Commands/other')])" in run.stderr


def test_without_a_broker_there_are_no_messages(box: Agent) -> None:
    """It is said so."""
    run = box.run(TASKS["reader"], parameters={"count": 1}, job={"mqttTopics": {}})
    assert run.exit_code == 69
    assert b"KEEPER_JOB_ID is not set" in run.stderr


def test_a_refused_subscription_is_told() -> None:
    """Where the broker says so."""
    with Agent(deny_visibly=True) as box:
        topics = {"allowedPublications": ["KeeperLogger"], "allowedSubscriptions": []}
        run = box.run(TASKS["reader"], parameters={"count": 1}, job={"mqttTopics": topics})
    assert run.exit_code == 69
    assert b"mqttTopics.allowedSubscriptions" in run.stderr
