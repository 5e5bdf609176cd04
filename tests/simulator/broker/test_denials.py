"""Denials: told one by one up to a bound, then summed up."""

from __future__ import annotations

from simulator.broker.broker_box import Events

from epm_task.simulator.broker.denials import Denials


def test_many_denials_are_summed_up() -> None:
    """A task without KeeperLogger in its topics does not push all else out of the trace."""
    events = Events()
    denials = Denials(events, "job_run", "job", told=3)
    for _ in range(1_000):
        denials.publication("KeeperLogger", 20)
    assert len(events) == 3
    denials.sum_up()
    denials.sum_up()
    assert events[-1].what == '997 times more: a publication on "KeeperLogger" was dropped'
    assert len(events) == 4
    assert all(event.denied for event in events)
    assert "mqttTopics.allowedPublications of job job" in events[0].reason


def test_denials_of_ever_new_topics_are_bounded() -> None:
    """Topics beyond the bound are not counted."""
    denials = Denials(Events(), "job_run", "job", told=0)
    for number in range(3_000):
        denials.publication(f"t/{number}", 0)
    assert len(denials._untold) == 1_000
