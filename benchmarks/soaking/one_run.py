"""Carry out one run of the soak: start it, let things go wrong at their moments, have it judged."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from peers import http_answer
from peers.http_peer import HttpPeer
from peers.task_process import settings
from programs.ledger import FIRST_RECORD
from soaking import brokers
from soaking.scenario import AT_A_MOMENT
from soaking.verdict import Circumstances, Judge
from soaking.watched import Watched

if TYPE_CHECKING:
    from soaking.scenario import Scenario

#: When a run is given up, in seconds; far beyond every bound.
HANG_SECONDS = 90.0
#: How often the soak looks whether a moment has come.
_GLANCE_SECONDS = 0.002


@dataclass
class Report:
    """What came of one run."""

    scenario: Scenario
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    exit_codes: list[int] = field(default_factory=list)
    #: The worst exit delay beyond the flush time-out; None when no handler ended undisturbed.
    delay: float | None = None
    lag: float = 0.0


class Lag:
    """Measures how late a sleeping thread of this process wakes: whether the machine keeps up."""

    def __init__(self) -> None:
        """Begin to measure."""
        self._worst: list[tuple[float, float]] = []
        threading.Thread(target=self._measure, daemon=True).start()

    def since(self, moment: float) -> float:
        """Return the worst since that moment of the monotonic clock, in seconds."""
        return max((lag for when, lag in list(self._worst) if when >= moment), default=0.0)

    def _measure(self) -> None:
        while True:
            before = time.monotonic()
            time.sleep(0.01)
            lag = time.monotonic() - before - 0.01
            if lag > 0.001:
                self._worst.append((before, lag))


def carry_out(scenario: Scenario, lag: Lag, allowance: float) -> Report:
    """Carry out one run and return its report; *allowance* is what a busy machine may add."""
    report = Report(scenario)
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as name,
        brokers.running(scenario, Path(name)) as broker,
        _agent(scenario, broker.port) as agent,
    ):
        runs = [Watched(scenario, who, agent.base_url, Path(name)) for who in range(scenario.twins)]
        happened = Circumstances(allowance=allowance)
        _let_happen(scenario, runs, broker, happened)
        left = [run.left_behind() for run in runs]
        happened.lag = report.lag = lag.since(began)
        for run, (pids, files) in zip(runs, left, strict=True):
            mine = happened if run.who == 0 else Circumstances(lag=report.lag, allowance=allowance)
            delivered = broker.received() if run.exit_code == -9 else broker.payloads()
            verdict = Judge(scenario, run, mine).judge(delivered)
            report.faults += verdict.faults
            report.faults += [f"orphans: {pids}"] if pids else []
            report.faults += [f"files: {files}"] if files else []
            report.counts.update(verdict.counts, orphans=len(pids), files=len(files))
            report.exit_codes.append(run.exit_code)
            if verdict.delay is not None:
                report.delay = max(verdict.delay, report.delay or verdict.delay)
            if run.ended_at - run.started_at > HANG_SECONDS:
                report.faults.append(f"hang: killed after {HANG_SECONDS} s")
                report.counts["hang"] += 1
    return report


def _agent(scenario: Scenario, broker_port: int) -> HttpPeer:
    ok = http_answer.ok(settings(broker_port))
    first = {
        "403 window": [http_answer.status(403)] * 3,
        "403 for ever": [],
        "slow": [http_answer.drip(0.02, settings(broker_port))] * 2,
        "500": [http_answer.status(500)] * 2,
        "reset": [http_answer.reset()] * 2,
    }
    script = [*first.get(scenario.api, []), ok]
    if scenario.api == "403 for ever":
        script = [http_answer.status(403)]
    return HttpPeer(script, listen_after=0.7 if scenario.api == "late" else 0.0)


def _let_happen(
    scenario: Scenario,
    runs: list[Watched],
    broker: brokers.BrokerUnderTest,
    happened: Circumstances,
) -> None:
    """Watch the runs until all have ended; the broker is well afterwards."""
    target, mend_at = runs[0], 0.0
    failing = scenario.broker_fault in AT_A_MOMENT
    signalling = bool(scenario.signal)
    if scenario.broker_fault and not failing:
        happened.broker_failed_at = target.started_at
    until = time.monotonic() + HANG_SECONDS
    while [run for run in runs if run.running()]:  # each one notes the moment of its end
        now = time.monotonic()
        if failing and target.ledger.moment(FIRST_RECORD + scenario.broker_at):
            failing = False
            happened.broker_failed_at = now
            broker.fail()
            mend_at = now + scenario.broker_lasts if scenario.broker_lasts else 0.0
        if mend_at and now >= mend_at:
            mend_at = 0.0
            broker.mend()
        if signalling and _signal_due(scenario, target, now):
            signalling = False
            happened.signalled_at = time.monotonic()
            target.signal(getattr(signal, scenario.signal))
        if now > until:
            for run in runs:
                run.signal(signal.SIGKILL)
        time.sleep(_GLANCE_SECONDS)
    if scenario.broker_fault == "stopped":  # it must go on to tell what it has received
        broker.mend()


def _signal_due(scenario: Scenario, target: Watched, now: float) -> bool:
    if scenario.signal_after is not None:
        return now >= target.started_at + scenario.signal_after
    return bool(target.ledger.moment(FIRST_RECORD + scenario.signal_at))
