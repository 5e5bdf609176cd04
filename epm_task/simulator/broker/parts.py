"""The parts are what all connections of one broker share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from epm_task.simulator.broker.admission import Admits, Traces
    from epm_task.simulator.broker.disturbance import Disturbance
    from epm_task.simulator.broker.exchange import Exchange
    from epm_task.simulator.broker.limits import Limits
    from epm_task.simulator.broker.sessions import SessionTable
    from epm_task.simulator.broker.waiting_room import WaitingRoom
    from epm_task.simulator.broker.will import PendingWills


@dataclass(frozen=True, slots=True)
class Parts:
    """What all connections of one broker share."""

    access: Admits
    traces: Traces
    limits: Limits
    disturbance: Disturbance
    deny_visibly: bool
    exchange: Exchange
    wills: PendingWills
    sessions: SessionTable
    waiting: WaitingRoom
