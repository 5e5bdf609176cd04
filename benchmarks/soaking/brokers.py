"""The three brokers of the soak: what fails in each, and what each has received."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peers.mosquitto import Mosquitto
from peers.mqtt_peer import MqttPeer
from peers.tls import server_context
from simulator import Everybody

from epm_task.simulator.background import LoopThread
from epm_task.simulator.broker import Broker
from epm_task.simulator.faults.faults import Faults
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from soaking.scenario import Scenario

_TOPIC = "KeeperLogger"
#: Faults of the scripted peer that hold from its start.
_PEER_OPTIONS: dict[str, dict[str, Any]] = {
    "slow": {"ack_delay_seconds": 0.05},
    "denying": {"puback_reasons": {_TOPIC: 0x87}},
    "refusing": {"connack_reason": 0x87},
    "hanging up": {"disconnect_after": 60},
    "one at a time": {"receive_maximum": 1},
    "silent": {"no_puback": True},
}


@dataclass
class BrokerUnderTest:
    """A running broker.

    Attributes:
        fail: Lets it fail; for what is wrong from the start it does nothing.
        mend: Makes it well again.
        payloads: Returns what it has acknowledged.
        received: Returns what it has received, which is more when its client was killed.
    """

    port: int
    payloads: Callable[[], list[bytes]]
    received: Callable[[], list[bytes]]
    fail: Callable[[], object] = field(default=lambda: None)
    mend: Callable[[], object] = field(default=lambda: None)


def running(scenario: Scenario, folder: Path) -> AbstractContextManager[BrokerUnderTest]:
    """Run the scenario's broker."""
    if scenario.broker == "mosquitto":
        return _mosquitto(scenario.broker_fault, folder)
    return (_peer if scenario.broker == "peer" else _simulator)(scenario.broker_fault)


@contextmanager
def _peer(fault: str) -> Iterator[BrokerUnderTest]:
    with MqttPeer(**_PEER_OPTIONS.get(fault, {})) as peer:
        received = [] if fault == "denying" else peer.publishes
        found = BrokerUnderTest(
            peer.port, lambda: peer.payloads, lambda: [message.payload for message in received]
        )
        if fault == "killed":
            found.fail, found.mend = peer.kill, peer.restart
        elif fault == "stopped":
            found.fail, found.mend = peer.stop_reading, peer.resume
        elif fault == "dropped":
            found.fail = found.mend = peer.drop_connections
        yield found


@contextmanager
def _simulator(fault: str) -> Iterator[BrokerUnderTest]:
    payloads: list[bytes] = []
    faults = Faults()
    if fault == "silent":
        faults.broker(no_ack=True)
    elif fault == "hanging up":
        faults.broker(drop_after=60)
    loop = LoopThread("soak-broker")
    broker = Broker(
        Everybody(),
        Trace(),
        ssl_context=server_context(),
        on_message=lambda message: payloads.append(message.payload),
        faults=faults,
    )
    loop.call(broker.start())
    found = BrokerUnderTest(broker.port, lambda: payloads, lambda: payloads)
    if fault == "killed":
        found.fail = lambda: loop.call(broker.go_down())
        found.mend = lambda: loop.call(broker.start())
    try:
        yield found
    finally:
        loop.call(broker.stop())
        loop.stop()


@contextmanager
def _mosquitto(fault: str, folder: Path) -> Iterator[BrokerUnderTest]:
    # Both keep what is on its way over a restart, so that nothing acknowledged is overlooked.
    keep = f"persistence true\npersistence_location {folder}/"
    with (
        Mosquitto(folder, denied=_TOPIC if fault == "denying" else "", options=keep) as broker,
        broker.observe(_TOPIC, "--disable-clean-session", "--id", "observer") as observer,
    ):

        def payloads() -> list[bytes]:
            if not broker.running:
                broker.start()
            return observer.complete()

        found = BrokerUnderTest(broker.port, payloads, payloads)
        if fault == "terminated":
            found.fail = broker.terminate  # to the end of the run: it forgets its subscriptions
        elif fault == "stopped":
            pid = broker.pid
            found.fail = lambda: os.kill(pid, signal.SIGSTOP)
            found.mend = lambda: os.kill(pid, signal.SIGCONT)
        yield found
