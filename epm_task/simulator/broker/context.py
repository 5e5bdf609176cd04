"""The parts are what all connections of one broker share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from epm_task.simulator.broker.admission import Admits
    from epm_task.simulator.broker.exchange import Exchange
    from epm_task.simulator.broker.limits import Limits, WaitingRoom
    from epm_task.simulator.broker.sessions import PendingWills, SessionTable
    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.trace import Trace


@dataclass(frozen=True, slots=True)
class Parts:
    """What all connections of one broker share."""

    access: Admits
    traces: Trace
    limits: Limits
    faults: Faults
    deny_visibly: bool
    exchange: Exchange
    wills: PendingWills
    sessions: SessionTable
    waiting: WaitingRoom
