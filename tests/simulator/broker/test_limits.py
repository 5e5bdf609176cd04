"""The waiting room: half-open connections, bounded."""

from __future__ import annotations

from simulator.broker.broker_box import Events

from epm_task.simulator.broker.limits import WaitingRoom


def test_the_oldest_makes_room() -> None:
    """It is aborted, and the trace tells."""
    events, aborted = Events(), list[str]()
    room = WaitingRoom(2, events)
    for name in ("a", "b", "c"):
        room.enter(name, lambda name=name: aborted.append(name))
    assert aborted == ["a"]
    assert len(events.denials) == 1
    room.leave("b")
    room.leave("never came")
    room.enter("d", lambda: None)
    assert aborted == ["a"]
    assert len(room) == 2
