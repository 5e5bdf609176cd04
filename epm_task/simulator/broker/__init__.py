"""The agent's own MQTT server."""

from __future__ import annotations

from epm_task.simulator.broker.connection import Limits
from epm_task.simulator.broker.message import Message
from epm_task.simulator.broker.packet import Reason
from epm_task.simulator.broker.server import Broker

__all__ = ["Broker", "Limits", "Message", "Reason"]
