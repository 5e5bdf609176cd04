"""Account for each record that a run accepted: at the broker, on stderr, or nowhere."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Account:
    """The sequence numbers of one run, by where their records stand."""

    #: In neither place: lost.
    missing: frozenset[int]
    #: In one of the places, but never accepted.
    unexpected: frozenset[int]
    #: Twice, with different messages.
    contradictory: frozenset[int]
    acknowledged: frozenset[int]
    on_stderr: frozenset[int]
    #: How many acknowledged records were repetitions.
    repeated: int
    #: Lines of stderr that begin as a record and are none.
    torn: tuple[bytes, ...]

    @property
    def complete(self) -> bool:
        """Whether both places together hold exactly the accepted records."""
        return not (self.missing or self.unexpected or self.contradictory or self.torn)


def account(
    accepted: Iterable[int],
    acknowledged: Iterable[bytes],
    stderr: bytes,
    *,
    run_id: str | None = None,
) -> Account:
    """Return where each record of a run is.

    Args:
        accepted: Sequence numbers of the records that the log pipe accepted.
        acknowledged: Payloads that the broker acknowledged, repetitions included.
        stderr: What the process wrote there; lines for people are passed over.
        run_id: The run to look at; None when both places hold one run only.

    Raises:
        ValueError: Without *run_id*, and records of several runs were found.
    """
    lines, torn = _stderr_records(stderr)
    delivered = [_record(payload) for payload in acknowledged]
    records = [record for record in delivered if record] + lines
    runs = {str(record["runId"]) for record in records}
    if run_id is None and len(runs) > 1:
        raise ValueError(f"records of several runs: {sorted(runs)}")
    wanted = runs if run_id is None else {run_id}
    at_broker = [_seq(record) for record in delivered if record and record["runId"] in wanted]
    on_stderr = {_seq(record) for record in lines if record["runId"] in wanted}
    expected, found = frozenset(accepted), on_stderr.union(at_broker)
    return Account(
        missing=expected - found,
        unexpected=frozenset(found - expected),
        contradictory=_contradictory(r for r in records if r["runId"] in wanted),
        acknowledged=frozenset(at_broker),
        on_stderr=frozenset(on_stderr),
        repeated=len(at_broker) - len(set(at_broker)),
        torn=tuple(torn),
    )


def _stderr_records(stderr: bytes) -> tuple[list[dict[str, object]], list[bytes]]:
    records, torn = [], []
    for line in stderr.splitlines():
        if line.startswith(b"{"):
            record = _record(line)
            if record:
                records.append(record)
            else:
                torn.append(line)
    return records, torn


def _record(data: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(data)
    except ValueError:
        return None
    is_record = isinstance(found, dict) and "runId" in found and isinstance(found.get("seq"), int)
    return found if is_record else None


def _seq(record: dict[str, object]) -> int:
    seq = record["seq"]
    assert isinstance(seq, int)
    return seq


def _contradictory(records: Iterable[dict[str, object]]) -> frozenset[int]:
    texts = {(_seq(record), str(record.get("message"))) for record in records}
    counts = Counter(seq for seq, _ in texts)
    return frozenset(seq for seq, count in counts.items() if count > 1)
