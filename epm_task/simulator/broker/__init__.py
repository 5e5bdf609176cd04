"""The broker: the agent's own MQTT server."""

from __future__ import annotations

from epm_task.simulator.broker.admission import Admission, Admits
from epm_task.simulator.broker.limits import Limits
from epm_task.simulator.broker.message import Message
from epm_task.simulator.broker.server import Broker

__all__ = [
    "Admission",
    "Admits",
    "Broker",
    "Limits",
    "Message",
]
