"""A session pings, notices silence, and says why it ended."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from peers.mqtt_packet import V3, disconnect
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, PATIENCE
from peers.task_process import poll
from runtime.trusting import trusting_context

from epm_task.runtime.broker.connection import BrokerAddress, ConnectionLost, MqttConnection
from epm_task.runtime.broker.delivery import STALL_SECONDS, MqttSession, Stalled
from epm_task.runtime.log.outbox import Message, Outbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Owner:
    """Who runs the session: in a thread, until it ends."""

    outbox: Outbox
    asleep: bool = False
    inbox: None = None
    patience: float = STALL_SECONDS
    closing: bool = False
    refused: list[tuple[Message, int, str]] = field(default_factory=list)
    ended: ConnectionLost | None = None

    def give_up(self, packet_id: int, code: int, why: str) -> bool:
        """Keep the refusal."""
        message = self.outbox.withdraw(packet_id)
        self.refused += [(message, code, why)] if message else []
        return message is not None


class Running:
    """A session in a thread of its own."""

    def __init__(
        self, port: int, *, mqtt5: bool = True, keep_alive: float = 15, lone: bool = False
    ) -> None:
        """Connect and start."""
        self.owner = Owner(Outbox())
        address = BrokerAddress("127.0.0.1", port, "key-scanner_7f", trusting_context())
        self.connection = MqttConnection(address, mqtt5=mqtt5)
        self.connection.keep_alive_seconds = keep_alive
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        owner: Any = self.owner
        self.session = MqttSession(
            self.connection, self.owner.outbox, owner, self.reader, lone=lone
        )
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.session.run()
        except ConnectionLost as error:
            self.owner.ended = error

    def send(self, *payloads: bytes) -> None:
        """Offer messages and wake the session."""
        for payload in payloads:
            self.owner.outbox.offer(Message("t", payload), 0)
        self.writer.send(b"\0")

    def close(self) -> None:
        """End the session and free everything."""
        self.owner.closing = True
        self.writer.send(b"\0")
        self.thread.join(5)
        for thing in (self.connection, self.reader, self.writer):
            thing.close()


@pytest.fixture
def peer() -> Iterator[MqttPeer]:
    """Run a broker."""
    with MqttPeer() as running:
        yield running


def test_idle_session_pings(peer: MqttPeer) -> None:
    """A session that has nothing to say pings twice in each keep-alive, and goes on."""
    running = Running(peer.port, keep_alive=0.4)
    poll(lambda: peer.pings >= 3)
    assert running.thread.is_alive()
    running.close()
    assert running.owner.ended is None


def test_keep_alive_of_zero_never_pings(peer: MqttPeer) -> None:
    """A broker may switch the keep-alive off."""
    running = Running(peer.port, keep_alive=0)
    running.send(b"1")
    poll(lambda: running.owner.outbox.empty)
    running.close()
    assert (peer.pings, running.owner.ended) == (0, None)


def test_unanswered_ping_ends_the_session(peer: MqttPeer) -> None:
    """A broker that answers no ping is left after one and a half keep-alives."""
    running = Running(peer.port, keep_alive=0.4)
    peer.stop_reading()
    start = time.monotonic()
    running.thread.join(PATIENCE)
    assert 0.5 < time.monotonic() - start < 0.6 + BUSY
    assert isinstance(running.owner.ended, Stalled)
    running.close()


def test_missing_acknowledgement_ends_the_session(peer: MqttPeer) -> None:
    """A message that is not acknowledged within two seconds is a stall."""
    peer.no_puback = True
    running = Running(peer.port)
    start = time.monotonic()
    running.send(b"1")
    running.thread.join(PATIENCE)
    assert STALL_SECONDS <= time.monotonic() - start < STALL_SECONDS + BUSY
    assert str(running.owner.ended) == "no acknowledgement in 2 s"
    assert (running.session.progress, running.owner.outbox.in_flight) == (False, 1)
    running.close()


def test_answers_to_pings_acknowledge_nothing(peer: MqttPeer) -> None:
    """A broker that answers pings and nothing else is as good as silent."""
    peer.no_puback = True
    running = Running(peer.port, keep_alive=1)
    running.send(b"1")
    running.thread.join(PATIENCE)
    assert isinstance(running.owner.ended, Stalled)
    assert peer.pings > 1
    running.close()


def test_silence_before_a_message_is_no_stall(peer: MqttPeer) -> None:
    """Nobody has to answer what was not sent: the two seconds begin with the message."""
    running = Running(peer.port)
    time.sleep(STALL_SECONDS + 0.2)
    running.send(b"1")
    poll(lambda: running.owner.outbox.empty)
    running.close()
    assert (running.owner.ended, peer.payloads) == (None, [b"1"])


def test_slow_acknowledgements_are_no_stall(peer: MqttPeer) -> None:
    """As long as acknowledgements come, a session lasts longer than the stall limit."""
    peer.ack_delay_seconds = 0.3
    running = Running(peer.port, lone=True)
    start = time.monotonic()
    running.send(*[b"%d" % n for n in range(9)])
    poll(lambda: running.owner.outbox.empty)
    assert time.monotonic() - start > STALL_SECONDS
    assert (running.owner.ended, peer.most_in_flight) == (None, 1)
    running.close()


def test_refusal_counts_as_progress(peer: MqttPeer) -> None:
    """A denied message is handed to the owner, and the session goes on."""
    peer.puback_reasons = {"t": 0x97}
    running = Running(peer.port)
    running.send(b"1")
    poll(lambda: running.owner.refused)
    assert running.owner.refused == [(Message("t", b"1"), 0x97, "0x97 Quota exceeded")]
    assert running.session.progress
    assert running.owner.outbox.empty
    running.close()


def test_denial_in_mqtt_3_cannot_be_seen() -> None:
    """In 3.1.1 a denied message is acknowledged like every other."""
    with MqttPeer(puback_reasons={"t": 0x87}, versions=frozenset({V3})) as peer:
        running = Running(peer.port, mqtt5=False)
        running.send(b"1")
        poll(lambda: running.owner.outbox.empty)
        assert running.owner.refused == []
        running.close()


def test_disconnect_of_the_broker_is_told_with_its_reason(peer: MqttPeer) -> None:
    """MQTT 5 lets a broker say why it ends the connection."""
    running = Running(peer.port)
    running.connection._incoming += disconnect(0x8E)
    running.send(b"1")  # its acknowledgement makes the session read
    running.thread.join(5)
    assert str(running.owner.ended) == "the broker disconnected: 0x8e Session taken over"
    running.close()
