"""How far a task is: the fields of a progress record, as a task writes and others read them.

They are our own, among the author's fields of an ordinary record; `progressId` tells such a record
from others. A field that is not known is absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["running", "done", "stopped"]
STATES: Final[tuple[State, ...]] = get_args(State)

ID: Final = "progressId"
DONE: Final = "done"
TOTAL: Final = "total"
RATE: Final = "rate"
REMAINING: Final = "remainingSeconds"
ELAPSED: Final = "elapsedSeconds"
STATE: Final = "state"


class Progress(NamedTuple):
    """How far one loop is.

    Attributes:
        id: Its number in its process, from 1; with the record's `runId` it identifies the loop.
        done: Items that are finished.
        elapsed: Seconds since it began.
        state: `running`; `done` when all items came; `stopped` when it was left before.
        total: Items that it has, never less than *done*; None when that is not known.
        rate: Items per second: of late, and at the end of all its time.
        remaining: Seconds that the rest may take.
    """

    id: int
    done: float
    elapsed: float
    state: State = "running"
    total: float | None = None
    rate: float | None = None
    remaining: float | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Progress | None:
        """Return what the fields of a record say; None when it is not about progress."""
        number, done, state = fields.get(ID), count(fields.get(DONE)), fields.get(STATE)
        if type(number) is not int or done is None or state not in STATES:
            return None  # anybody may write records
        total = count(fields.get(TOTAL))
        return cls(
            number,
            done,
            count(fields.get(ELAPSED)) or 0.0,
            STATES[STATES.index(state)],
            total if total is not None and total >= done else None,
            count(fields.get(RATE)),
            count(fields.get(REMAINING)),
        )

    def fields(self) -> dict[str, Any]:
        """Return the fields of its record, in the order in which people read them."""
        known = {
            DONE: self.done,
            TOTAL: self.total,
            RATE: None if self.rate is None else float(f"{self.rate:.3g}"),
            REMAINING: None if self.remaining is None else round(self.remaining, 1),
            ELAPSED: round(self.elapsed, 3),
            STATE: self.state,
            ID: self.id,
        }
        return {name: value for name, value in known.items() if value is not None}


def count(value: object) -> float | None:
    """Return *value* when it is a number from zero to what a record can hold; else None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if 0 <= value < 1 << 63 else None
