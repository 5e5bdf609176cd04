"""Tests of the faults."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from epm_task.simulator.faults.answers import ApiFault
from epm_task.simulator.faults.faults import Faults
from epm_task.simulator.faults.rule import FaultError

if TYPE_CHECKING:
    from pathlib import Path

_PATH = "/api/PluginSettings/KeeperPrivilegeManager"


class Switch:
    """Notes what happens to the broker."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def down(self) -> None:
        """Note it."""
        self.calls.append("down")

    def up(self) -> None:
        """Note it."""
        self.calls.append("up")

    def bounce(self, seconds: float) -> None:
        """Note the seconds."""
        self.calls.append(seconds)


def test_times_are_counted():
    """A fault with `times` ends by itself; the next one then holds."""
    faults = Faults()
    faults.api(status=403, times=2)
    faults.api(delay=0.5)
    answers = [faults.next_api_fault("GET", _PATH) for _ in range(4)]
    assert answers[:2] == [ApiFault("status", status=403)] * 2
    assert answers[2:] == [ApiFault("delay", seconds=0.5)] * 2
    assert faults.next_api_fault("GET", "/api/Jobs") is None
    faults.clear()
    assert faults.next_api_fault("GET", _PATH) is None


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ({"drip": 0.1}, ApiFault("drip", seconds=0.1)),
        ({"redirect": "https://x"}, ApiFault("redirect", location="https://x")),
        ({"oversize": 9}, ApiFault("oversize", size=9)),
        ({"reset": True}, ApiFault("reset")),
        ({"garbage": True}, ApiFault("garbage")),
    ],
)
def test_kinds_of_api_faults(words: dict[str, object], fault: ApiFault):
    """Each word is a kind that the API knows."""
    faults = Faults()
    faults.api(**words)
    assert faults.next_api_fault("GET", _PATH) == fault


def test_registration():
    """Never, late, lost; a late registration replaces the delay that a run asked for."""
    faults = Faults()
    assert (faults.registration_delay(0.2), faults.registration_lost_after()) == (0.2, None)
    faults.registration(late=3, times=1)
    faults.registration(lost=1.5, times=1)
    assert (faults.registration_delay(0.2), faults.registration_lost_after()) == (3.0, 1.5)
    faults.registration(never=True)
    assert faults.registration_delay(0.2) == math.inf
    assert faults.registration_lost_after() is None


def test_broker_and_run():
    """What broker and job runner ask is what was said."""
    faults = Faults()
    quiet = (faults.refuse(), faults.silent(), faults.acknowledges(), faults.drop_after())
    assert quiet == (None, False, True, None)
    assert (faults.packet_limit(), faults.kill_after(), faults.disk_full()) == (None, None, False)
    for words in ("refuse times=1", "silence", "no_ack", "drop_after=4", "packet_limit=100"):
        faults.add(f"broker {words}")
    assert [faults.refuse(), faults.refuse()] == [0x87, None]
    loud = (faults.silent(), faults.acknowledges(), faults.drop_after(), faults.packet_limit())
    assert loud == (True, False, 4, 100)
    for words in ("kill_after=1 times=1", "term_after=2 times=1", "disk_full times=1"):
        faults.add(f"run {words}")
    assert (faults.kill_after(), faults.terminate_after(), faults.disk_full()) == (1, 2, True)
    assert (faults.kill_after(), faults.terminate_after(), faults.disk_full()) == (
        None,
        None,
        False,
    )
    faults.broker(refuse=0x88)
    assert faults.refuse() == 0x88


def test_broker_is_restarted_after_messages():
    """`after` messages have passed, then it happens once."""
    faults, switch = Faults(), Switch()
    faults.broker(restart=0.5, after=2)
    faults.attach(switch, lambda _: None)
    for _ in range(3):
        faults.message_seen()
    assert switch.calls == [0.5]
    faults.broker(restart=0.1)
    assert switch.calls == [0.5, 0.1]


def test_broker_down_needs_an_agent():
    """The broker is up again after the block, also after an error in it."""
    faults, switch = Faults(), Switch()
    with pytest.raises(FaultError, match="while an agent runs"), faults.broker_down():
        pass
    faults.attach(switch, lambda _: None)
    with pytest.raises(KeyError), faults.broker_down():
        raise KeyError
    assert switch.calls == ["down", "up"]


def test_rules_are_announced():
    """Whoever keeps the trace is told of each rule, also of those from before the start."""
    faults, told = Faults(), []
    faults.api(status=500)
    faults.attach(Switch(), lambda rule: told.append(str(rule)))
    faults.run(kill_after=1.0)
    assert told == ["api status=500", "run kill_after=1.0"]


def test_toml(tmp_path: Path):
    """The same words, as tables."""
    path = tmp_path / "faults.toml"
    path.write_text(
        "[[api]]\nstatus = 403\ntimes = 1\n[[api]]\ngarbage = true\n[broker]\nsilence = true"
    )
    faults = Faults.from_toml(path)
    kinds = [fault.kind for _ in range(2) if (fault := faults.next_api_fault("GET", _PATH))]
    assert kinds == ["status", "garbage"]
    assert faults.silent()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("api = 3", r"write \[\[api\]\]"),
        ("[[api]]\nstatsu = 3", "did you mean status"),
        ("[[", "faults.toml: "),
    ],
)
def test_toml_that_cannot_be_understood(tmp_path: Path, text: str, why: str):
    """The error names the file."""
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(FaultError, match=why) as caught:
        Faults.from_toml(path)
    assert str(path) in str(caught.value)
    with pytest.raises(FaultError, match="absent"):
        Faults.from_toml(tmp_path / "absent")
