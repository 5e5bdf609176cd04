"""Judge a run of the soak by what is promised in `docs/task.md`: an account of each record."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peers.accounting import account
from programs.ledger import ENDED, STARTED, STUCK_CHILDREN, WARNING_EVERY

if TYPE_CHECKING:
    from soaking.scenario import Scenario
    from soaking.watched import Watched

#: A hard kill may cost the records of the last moments, in seconds: 0.05 when the machine keeps up,
#: and more when a burst of records waits for the thread that sends them.
KILL_SECONDS = 0.5
#: What the end of a run may take beyond the flush time-out.
EXIT_SECONDS = 0.6
#: A handler that will not stop is given so long, whether it looks or not.
GRACE_SECONDS = 3.5
#: Levels that are on stderr in any case.
_MIRRORED = {"Warning", "Error", "Critical"}
_ENDS = {"return": 0, "raise": 70, "exit": 3}
_SIGNALLED = {"SIGTERM": {143, 125, -15}, "SIGINT": {130, 125, -2}, "SIGKILL": {-9}}


@dataclass
class Circumstances:
    """What the soak did to a process, and how well this machine kept up; monotonic seconds."""

    signalled_at: float = 0.0
    broker_failed_at: float = 0.0
    #: The longest time that a sleeping thread of the soak was late.
    lag: float = 0.0
    #: What a busy machine may add to a bound.
    allowance: float = 20.0


@dataclass
class Verdict:
    """What was found of one process."""

    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    #: Seconds from the handler's end to that of the process, less the flush time-out.
    delay: float | None = None


class Judge:
    """Judges one process that has ended."""

    def __init__(self, scenario: Scenario, watched: Watched, happened: Circumstances) -> None:
        """Take what happened."""
        self._scenario, self._watched, self._happened = scenario, watched, happened
        self._killed = watched.exit_code == -9
        self._verdict = Verdict()
        stderr = bytes(watched.stderr)
        # A line that was being written when the process was killed is not a torn one.
        self._stderr = stderr[: stderr.rfind(b"\n") + 1] if self._killed else stderr

    def judge(self, payloads: list[bytes]) -> Verdict:
        """Return the verdict; *payloads* are what the broker has."""
        self._account(payloads)
        self._check_exit_code()
        self._check_result()
        self._check_delay()
        if self._watched.ledger.moment(STUCK_CHILDREN):
            self._fault("hang", "a forked child is stuck")
        raised = self._stderr.find(b"\nTraceback")  # at the start of a line, not in a record
        if raised >= 0 and self._scenario.signal != "SIGINT":  # which may come during an import
            self._fault("traceback", self._stderr[raised:][:1000])
        return self._verdict

    def _fault(self, kind: str, what: object) -> None:
        self._verdict.faults.append(f"{kind}: {what}")
        self._verdict.counts[kind] += 1

    def _account(self, payloads: list[bytes]) -> None:
        counts, who = self._verdict.counts, self._watched.who
        on_stderr = _records(self._stderr.splitlines())
        delivered = _records(payloads)
        mine = {r["runId"] for r in on_stderr} | {
            r["runId"] for r in delivered if _content(r)[0] == who
        }
        at_broker = [r for r in delivered if r["runId"] in mine]
        accepted = self._watched.ledger.accepted()
        told = [{_content(r)[1] for r in place} & {*accepted} for place in (at_broker, on_stderr)]
        mirrored = {_identity(r) for r in on_stderr if r["level"] in _MIRRORED}
        known = {_identity(r) for r in at_broker + on_stderr}
        twice = len(at_broker + on_stderr) - len(known)
        counts["accepted"] += len(accepted)
        counts["acknowledged"] += len(told[0])
        counts["on stderr"] += len(told[1])
        counts["duplicates"] += twice - len(mirrored & {_identity(r) for r in at_broker})
        self._check_missing({n: accepted[n] for n in accepted.keys() - told[0] - told[1]})
        contents = defaultdict(set)
        for record in at_broker + on_stderr:
            contents[_identity(record)].add((record["message"], *_content(record)))
        if shared := [identity for identity, found in contents.items() if len(found) > 1]:
            what = f"{len(shared)} runId and seq of two records, such as {shared[0]}"
            self._fault("identity", what)
        self._check_sequences(known, payloads)

    def _check_sequences(self, known: set[tuple[str, int]], payloads: list[bytes]) -> None:
        """Find torn lines, and gaps, where records of the runtime itself are lost."""
        for run in {run for run, _ in known}:
            last = max(seq for of, seq in known if of == run)
            missing = account(range(1, last + 1), payloads, self._stderr, run_id=run).missing
            # A signal may interrupt one call that has its number, and has not returned.
            allowed = 1 if self._scenario.signal else 0
            excused = self._killed or self._scenario.forks or self._watched.exit_code == 74
            if len(missing) > allowed and not excused:
                self._fault("unaccounted", f"seq {sorted(missing)[:5]} of {last}")
        if torn := account((), (), self._stderr, run_id="").torn:
            self._fault("torn", f"{len(torn)} lines of stderr, such as {torn[0][:80]!r}")

    def _check_missing(self, missing: dict[int, float]) -> None:
        counts, happened = self._verdict.counts, self._happened
        if self._killed and missing:
            # What the broker does not take since it failed waits in memory, and dies with it.
            since = happened.signalled_at
            if happened.broker_failed_at:
                since = min(since, happened.broker_failed_at)
            since -= KILL_SECONDS + happened.lag
            for number, moment in list(missing.items()):
                # A warning is on stderr before its call returns, unless the reader pauses.
                mirrored = not self._scenario.stderr_pauses and not (number + 1) % WARNING_EVERY
                if moment >= since and not mirrored:
                    del missing[number]
                    counts["lost to a hard kill"] += 1
        if missing and self._watched.exit_code == 74:
            last_line = self._stderr.rstrip(b"\n").rpartition(b"\n")[2]
            told = [int(number) for number in re.findall(rb"(\d+) records", last_line)]
            if not told or told[0] >= len(missing):
                counts["lost and said so (74)"] += len(missing)
                return
        if missing:
            ages = [round(self._watched.ended_at - moment, 3) for moment in missing.values()]
            what = f"{len(missing)} of {counts['accepted']} records, {min(ages)} to {max(ages)} s"
            self._fault("unaccounted", f"{what} before the end, exit {self._watched.exit_code}")
            counts["records unaccounted for"] += len(missing)

    def _check_exit_code(self) -> None:
        scenario, code = self._scenario, self._watched.exit_code
        possible = {_ENDS[scenario.end], *_SIGNALLED.get(scenario.signal, ())}
        possible |= {69, 75, 76, 77} if scenario.api else set()
        possible |= {69} if scenario.broker_fault else set()
        possible |= {71} if scenario.descriptors else set()
        # Without a broker all records go through stderr at the end, as fast as it is read here.
        slow = scenario.stderr_pauses or scenario.stdout_pause or scenario.broker_fault
        possible |= {74} if slow else set()
        # Python itself, interrupted before it has read a line of the program.
        unborn = self._stderr.startswith(b"Fatal Python error: init_")
        possible |= {1} if unborn and scenario.signal == "SIGINT" else set()
        if code not in possible:
            last_line = self._stderr.rstrip(b"\n").rpartition(b"\n")[2]
            self._fault("exit code", f"{code}, expected one of {sorted(possible)}: {last_line!r}")

    def _check_result(self) -> None:
        stdout, code = bytes(self._watched.stdout), self._watched.exit_code
        expected = {"answer": "y" * self._scenario.answer}
        try:
            whole = not stdout or (stdout.endswith(b"\n") and json.loads(stdout) == expected)
        except ValueError:
            whole = False
        if not whole and not self._killed:
            self._fault("torn", f"stdout has {len(stdout)} bytes: {stdout[:80]!r}, exit {code}")
        elif code == 0 and not stdout:
            self._fault("unaccounted", "exit code 0 without the result")

    def _check_delay(self) -> None:
        ended = self._watched.ledger.moment(ENDED)
        bound = EXIT_SECONDS + self._happened.allowance
        if self._happened.signalled_at > ended:  # it may come in the flush, or interrupt `finally`
            grace = GRACE_SECONDS if not ended else 0.0
            ended, bound = self._happened.signalled_at, bound + grace
        elif ended and not self._scenario.signal:
            self._verdict.delay = self._watched.ended_at - ended - self._scenario.flush
        if ended and self._watched.ledger.moment(STARTED):
            late = self._watched.ended_at - ended - self._scenario.flush
            if late > bound:
                self._fault("hang", f"the end took {late:.2f} s more than the flush time-out")


def _records(lines: list[bytes]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        with suppress(ValueError):
            record = json.loads(line)
            found += [record] if isinstance(record, dict) and "runId" in record else []
    return found


def _identity(record: dict[str, Any]) -> tuple[str, int]:
    """Return by what a reader is to recognise a repetition."""
    return record["runId"], record["seq"]


def _content(record: dict[str, Any]) -> tuple[int, int]:
    """Return who wrote a record, and its number; -1 for records of the runtime."""
    properties = record.get("properties") or {}
    return properties.get("who", -1), properties.get("n", -1)
