"""Draw what goes wrong in one run of the soak, all of it from the seed and the run's number."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

#: What can go wrong with each broker; "" is nothing. The simulator's is the one of `epm-task run`.
BROKERS = {
    "peer": (
        *("", "killed", "stopped", "dropped", "slow", "denying", "refusing", "hanging up"),
        *("one at a time", "silent"),
    ),
    "simulator": ("", "killed", "silent", "hanging up"),
    "mosquitto": ("", "terminated", "stopped", "denying"),
}
#: The faults of brokers that begin at a record; the others hold from the start.
AT_A_MOMENT = {"killed", "terminated", "stopped", "dropped"}
APIS = ("403 window", "403 for ever", "slow", "late", "500", "reset")
SIGNALS = ("SIGTERM", "SIGINT", "SIGKILL")
#: The names for `--without`.
KINDS = (
    *("broker", "mosquitto", "api", "signals", "pauses", "descriptors", "forks", "disk", "twins"),
)


@dataclass(frozen=True)
class Scenario:
    """One run: what the handler does, and what happens to it. Times are in seconds."""

    seed: int
    number: int
    broker: str
    #: One of `BROKERS`; at record `broker_at` if it is one of `AT_A_MOMENT`.
    broker_fault: str
    broker_at: int
    #: After this the broker is well again; None is never.
    broker_lasts: float | None
    #: One of `APIS`, or "".
    api: str
    #: One of `SIGNALS`, or "".
    signal: str
    #: After the start of the process, or at that record.
    signal_after: float | None
    signal_at: int
    #: By stream: the reader pauses after so many bytes, for so long.
    stderr_pauses: tuple[tuple[int, float], ...]
    stdout_pause: float
    pipe_bytes: int
    #: RLIMIT_NOFILE, 0 for the usual one.
    descriptors: int
    full_disk: bool
    forks: int
    child: str
    #: How many runs of the job go on at once.
    twins: int
    records: int
    gap: float
    size: int
    answer: int
    end: str
    flush: float

    def __str__(self) -> str:
        """Return what differs from a run in which nothing happens, for people."""
        told = [f"broker {self.broker} {self.broker_fault or 'well'}".strip()]
        if self.broker_fault in AT_A_MOMENT:
            told.append(f"at record {self.broker_at} for {self.broker_lasts or 'ever'}")
        told += [f"API {self.api}"] if self.api else []
        if self.signal:
            when = f"record {self.signal_at}"
            if self.signal_after is not None:
                when = f"{self.signal_after} s"
            told.append(f"{self.signal} at {when}")
        names = ("stderr_pauses", "stdout_pause", "descriptors", "full_disk", "forks")
        told += [f"{name}={value}" for name in names if (value := getattr(self, name))]
        told += [f"child {self.child}"] if self.forks else []
        told += ["two at once"] if self.twins > 1 else []
        rest = ("records", "gap", "size", "answer", "pipe_bytes", "end", "flush")
        return ", ".join(told + [f"{name}={getattr(self, name)}" for name in rest])


def draw(seed: int, number: int, without: frozenset[str] = frozenset()) -> Scenario:
    """Return a run's scenario; what is left out changes nothing of the rest."""
    dice = random.Random(f"{seed}/{number}")

    def one_in(count: int) -> bool:
        return dice.randrange(count) == 0

    broker = dice.choice(("peer", "peer", "simulator", "mosquitto"))
    records = dice.choice((20, 200, 500, 1500))
    pauses = tuple(
        (dice.randrange(20_000), round(dice.uniform(0.1, 3.0), 2))
        for _ in range(dice.randint(1, 2))
    )
    pausing, signalled, forking = one_in(4), one_in(3), one_in(6)
    drawn = Scenario(
        seed=seed,
        number=number,
        broker=broker,
        broker_fault=dice.choice(BROKERS[broker]),
        broker_at=dice.randrange(records),
        broker_lasts=dice.choice((None, round(dice.uniform(0.05, 1.5), 2))),
        api=dice.choice(APIS) if one_in(4) else "",
        signal=dice.choice(SIGNALS) if signalled else "",
        signal_after=dice.choice((None, round(dice.uniform(0.0, 1.5), 3))),
        signal_at=dice.randrange(records),
        stderr_pauses=pauses if pausing else (),
        stdout_pause=dice.choice((0.0, round(dice.uniform(0.1, 3.0), 2))) if pausing else 0.0,
        pipe_bytes=dice.choice((4096, 65_536)),
        descriptors=dice.choice((9, 12, 16, 24, 40)) if one_in(8) else 0,
        full_disk=one_in(8),
        forks=dice.randint(1, 3) if forking else 0,
        child=dice.choice(("leaves", "leaves", "returns")),
        twins=2 if one_in(6) else 1,
        records=records,
        **_handler(dice),
    )
    if drawn.forks:  # several processes share stderr, where only PIPE_BUF bytes stay together
        drawn = replace(drawn, records=min(records, 100), size=min(drawn.size, 1000))
        drawn = replace(drawn, broker_at=drawn.broker_at % 100, signal_at=drawn.signal_at % 100)
    return _without(drawn, without)


def _handler(dice: random.Random) -> dict[str, Any]:
    """Draw how the handler writes, and how it ends."""
    return {
        "gap": dice.choice((0.0, 0.0, 0.0005, 0.001)),
        "size": dice.choice((0, 100, 1000, 6000)),
        "answer": dice.choice((0, 10, 10_000)),
        "end": dice.choice(("return", "return", "raise", "exit")),
        "flush": dice.choice((0.3, 0.5, 1.0, 2.0)),
    }


def _without(drawn: Scenario, kinds: frozenset[str]) -> Scenario:
    if "mosquitto" in kinds and drawn.broker == "mosquitto":
        fault = drawn.broker_fault.replace("terminated", "killed")
        drawn = replace(drawn, broker="peer", broker_fault=fault)
    if "pauses" in kinds:
        drawn = replace(drawn, stderr_pauses=(), stdout_pause=0.0)
    left_out = {
        "broker": {"broker_fault": ""},
        "api": {"api": ""},
        "signals": {"signal": ""},
        "descriptors": {"descriptors": 0},
        "forks": {"forks": 0},
        "disk": {"full_disk": False},
        "twins": {"twins": 1},
    }
    for kind in kinds & left_out.keys():
        drawn = replace(drawn, **left_out[kind])  # type: ignore[arg-type]  # by field
    return drawn
