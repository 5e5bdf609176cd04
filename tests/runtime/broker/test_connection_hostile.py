"""A broker that answers with something else than MQTT ends a connection, and nothing more."""

from __future__ import annotations

import random
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from peers.listener import Listener
from peers.tls import server_context
from runtime.mqtt_sender import sender
from runtime.trusting import trusting_context

from epm_task.errors import BrokerError, BrokerRefused
from epm_task.runtime.broker.connection import (
    BrokerAddress,
    ConnectionLost,
    MqttConnection,
    VersionRefused,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

#: CONNACK with the properties ReceiveMaximum, MaximumPacketSize, ReasonString and a user property.
CONNACK = (
    b"\x20\x1b\x00\x00\x18\x21\x00\x05\x27\x00\x01\x00\x00\x1f\x00\x02ok\x26\x00\x01a\x00\x03bcd"
)
PUBACK = b"\x40\x02\x00\x01"

ANSWERS = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": bytes(64),
    "an endless length": b"\x20\xff\xff\xff\xff\xff",
    "no flags": b"\x20\x00",
    "no reason": b"\x20\x01\x00",
    "an unknown reason": b"\x20\x03\x00\x77\x00",
    "an unknown property": b"\x20\x05\x00\x00\x02\x7f\x00",
    "a property that is cut": b"\x20\x05\x00\x00\x02\x27\x00",
    "a property twice": b"\x20\x09\x00\x00\x06\x21\x00\x05\x21\x00\x05",
    "a text that is not UTF-8": b"\x20\x08\x00\x00\x05\x1f\x00\x02\xff\xfe",
    "properties longer than the packet": b"\x20\x03\x00\x00\x7f",
    "PUBACK": PUBACK,
    "PUBACK without an id": b"\x40\x00",
    "CONNECT": b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00",
    "AUTH": b"\xf0\x02\x18\x00",
    "PUBLISH": b"\x30\x05\x00\x01a\x00x",
    "PUBLISH with a cut topic": b"\x32\x03\x00\x09a",
    "a reserved type": b"\x00\x00",
}


@contextmanager
def _broker(answer: Callable[[], bytes]) -> Iterator[Listener]:
    """Answer each CONNECT with raw bytes, and stay."""

    def serve(accepted: socket.socket) -> None:
        with suppress(OSError), server_context().wrap_socket(accepted, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(answer())
            while secured.recv(4096):
                secured.sendall(PUBACK[1:] + answer())

    listener = Listener(serve)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()


@pytest.mark.parametrize("mqtt5", [True, False])
@pytest.mark.parametrize("answer", ANSWERS)
def test_answer_that_is_not_mqtt_is_a_lost_connection(answer: str, *, mqtt5: bool) -> None:
    """Whatever paho-mqtt makes of it, the caller learns that this connection is none."""
    with _broker(lambda: ANSWERS[answer]) as broker:
        address = BrokerAddress("127.0.0.1", broker.port, "key-scanner_7f", trusting_context())
        with pytest.raises((ConnectionLost, VersionRefused, BrokerRefused)) as caught:
            MqttConnection(address, mqtt5=mqtt5, seconds=0.3)
    assert str(caught.value)


def test_delivery_outlives_every_answer() -> None:
    """Damaged answers, seeded: the thread goes on, or says why it does not."""
    dice = random.Random(9)

    def damaged() -> bytes:
        data = bytearray(CONNACK)
        for _ in range(dice.randint(0, 3)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        return bytes(data[: dice.choice((len(data), dice.randrange(len(data))))])

    for _ in range(60):
        with _broker(damaged) as broker, sender(broker.port) as sending:
            sending.send(b"{}", b"{}")
            with suppress(BrokerError):
                sending.delivery.wait_until_connected(0.1)
            broker.stop()  # a delivery that waits for the rest of an answer waits no longer
            ended = sending.delivery.fatal
            assert ended is None or isinstance(ended, BrokerRefused), ended
