"""The faults of an agent: what was asked for is what API, broker and job runner are told."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from epm_task.simulator.faults.faults import Faults
from epm_task.simulator.faults.rule import FaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

_PATH = "/api/PluginSettings/KeeperPrivilegeManager"


def _effects(faults: Faults, count: int) -> list[str | None]:
    found = [faults.next_api_fault("GET", _PATH) for _ in range(count)]
    return [fault.effect if fault else None for fault in found]


def _attached(faults: Faults, use: Callable[[], object]) -> list[str]:
    """Return what happens to the broker of an agent while *use* runs in another thread."""
    calls: list[str] = []

    def note(call: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def noted() -> None:
            calls.append(call)

        return noted

    async def main() -> None:
        faults.attach(note("down"), note("up"), lambda rule: calls.append(str(rule)))
        await asyncio.to_thread(use)
        await asyncio.sleep(0.05)
        await faults.detach()

    asyncio.run(main())
    return calls


def test_times_are_counted() -> None:
    """A fault with `times` ends by itself; the next one then holds."""
    faults = Faults()
    faults.api(status=403, times=2)
    faults.api(delay=0.5)
    assert _effects(faults, 4) == ["status=403", "status=403", "delay=0.5", "delay=0.5"]
    assert faults.next_api_fault("GET", "/api/Jobs") is None
    faults.clear()
    assert faults.next_api_fault("GET", _PATH) is None


def test_registration_faults() -> None:
    """Never, late, lost; a late registration replaces the delay that a run asked for."""
    faults = Faults()
    assert (faults.registration_delay(0.2), faults.take("registration", "lost")) == (0.2, None)
    faults.registration(late=3, times=1)
    faults.registration(lost=1.5, times=1)
    assert (faults.registration_delay(0.2), faults.take("registration", "lost")) == (3.0, 1.5)
    faults.registration(never=True)
    assert faults.registration_delay(0.2) == math.inf
    assert faults.take("registration", "lost") is None


def test_without_faults_nothing_is_wrong() -> None:
    """There is no value to take or to keep, and no refusal."""
    faults = Faults()
    assert faults.refuse() is faults.value("broker", "silence") is None
    assert faults.take("run", "kill_after") is None


def test_a_refusal_has_a_code() -> None:
    """Not authorized, unless the fault names another."""
    faults = Faults()
    faults.add("broker refuse times=1")
    assert [faults.refuse(), faults.refuse()] == [0x87, None]
    faults.broker(refuse=0x88)
    assert faults.refuse() == 0x88


def test_a_value_stays_and_what_is_taken_is_counted() -> None:
    """The broker asks again and again, the runner once for each process."""
    faults = Faults()
    faults.add("broker drop_after=4")
    assert [faults.value("broker", "drop_after") for _ in range(2)] == [4, 4]
    faults.add("run kill_after=1 times=1")
    assert [faults.take("run", "kill_after") for _ in range(2)] == [1, None]


def test_zero_is_a_value() -> None:
    """A broker that hangs up without a code, a registration that is lost at once."""
    faults = Faults()
    faults.add("broker refuse=0")
    faults.add("registration lost=0")
    assert (faults.refuse(), faults.take("registration", "lost")) == (0, 0)


def test_broker_is_restarted_after_messages() -> None:
    """`after` messages have passed, then it happens once."""
    faults = Faults()
    faults.broker(restart=0.0, after=2)

    def use() -> None:
        for _ in range(3):
            faults.message_seen()

    assert _attached(faults, use)[1:] == ["down", "up"]


def test_broker_is_restarted_at_once() -> None:
    """Without `after`, as soon as an agent runs."""
    faults = Faults()
    faults.broker(restart=0.0)
    assert _attached(faults, lambda: None)[1:] == ["down", "up"]


def test_broker_is_down_for_a_block() -> None:
    """It is up again after it, also after an error in it."""
    faults = Faults()

    def use() -> None:
        with pytest.raises(KeyError), faults.broker_down():
            raise KeyError

    assert _attached(faults, use) == ["down", "up"]


def test_broker_down_needs_an_agent() -> None:
    """Before it starts and after it has stopped."""
    faults = Faults()
    _attached(faults, lambda: None)
    for one in (faults, Faults()):
        with pytest.raises(FaultError, match="no agent runs"), one.broker_down():
            pass


def test_rules_are_announced() -> None:
    """Whoever keeps the trace is told of each rule, also of those from before the start."""
    faults = Faults()
    faults.api(status=500)
    told = _attached(faults, lambda: faults.run(kill_after=1.0))
    assert told == ["api status=500", "run kill_after=1.0"]


def test_faults_of_a_toml_file(tmp_path: Path) -> None:
    """The same names, as tables; the byte order mark of Windows' editors is none of them."""
    path = tmp_path / "faults.toml"
    path.write_text(
        "\ufeff[[api]]\nstatus = 403\ntimes = 1\n[[api]]\ngarbage = true\n[broker]\nsilence = true",
        encoding="utf-8",
    )
    faults = Faults.from_toml(path)
    assert _effects(faults, 2) == ["status=403", "garbage=true"]
    assert faults.value("broker", "silence")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("api = 3", r"write \[\[api\]\]"),
        ("[[api]]\nstatsu = 3", "did you mean status"),
        ("[[", "cannot be read"),
        ("x = " + "[" * 100_000, "cannot be read"),
        ("[api]\ntimes = 0\nstatus = 403", "a whole number from 1"),
    ],
)
def test_toml_that_cannot_be_understood(tmp_path: Path, text: str, message: str) -> None:
    """The error names the file."""
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(FaultError, match=message) as caught:
        Faults.from_toml(path)
    assert str(path) in caught.value.what
    with pytest.raises(FaultError, match="absent"):
        Faults.from_toml(tmp_path / "absent")


def test_faults_are_renewed() -> None:
    """Those that are used up, in part or whole, happen as often and in the same order as before."""
    faults = Faults()
    faults.api(status=403, times=2)
    faults.api(status=500, times=1)
    faults.api(reset=True)
    faults.switch(faults.rules()[2], on=False)

    def met(count: int) -> list[object]:
        rules = [faults.next_api_fault("GET", "/api/PluginSettings/P") for _ in range(count)]
        return [rule.value if rule else None for rule in rules]

    assert met(1) == [403]
    for _ in range(2):
        faults.renew()
        assert met(4) == [403, 403, 500, None]
