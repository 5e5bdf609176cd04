"""paho, the library of our own runtime, against the broker, over TLS."""

from __future__ import annotations

import queue
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions
from peers.patience import PATIENCE
from peers.tls import certificate_pem, server_context
from simulator.broker.broker_box import BrokerBox, rule, running_broker

from epm_task.simulator.broker import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSIONS = pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5])


@pytest.fixture
def box() -> Iterator[BrokerBox]:
    """A broker with TLS."""
    with running_broker(ssl_context=server_context()) as running:
        yield running


class _Paho:
    """A paho client whose callbacks fill queues."""

    def __init__(self, version: int, client_id: str) -> None:
        self.connects: queue.Queue[Any] = queue.Queue()
        self.disconnects: queue.Queue[Any] = queue.Queue()
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.published: queue.Queue[Any] = queue.Queue()
        self.subscribed: queue.Queue[Any] = queue.Queue()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion(version)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=certificate_pem())
        self.client.tls_set_context(context)
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.connects.put(code)
        self.client.on_disconnect = lambda _c, _u, _f, code, _p: self.disconnects.put(code)
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_publish = lambda _c, _u, _m, code, _p: self.published.put(code)
        self.client.on_subscribe = lambda _c, _u, _m, codes, _p: self.subscribed.put(codes)


@contextmanager
def _connected(box: BrokerBox, version: int, client_id: str = "c") -> Iterator[_Paho]:
    wrapped = _Paho(version, client_id)
    wrapped.client.connect("127.0.0.1", box.port)
    wrapped.client.loop_start()
    try:
        yield wrapped
    finally:
        wrapped.client.disconnect()
        wrapped.client.loop_stop()
        # It closes a pair of its sockets when it goes, and its callbacks hold what holds it.
        del wrapped.client


@_VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_come_back_in_order(box: BrokerBox, version: int, qos: int) -> None:
    """500 of them, from one client to itself."""
    with _connected(box, version) as it:
        assert it.connects.get(timeout=PATIENCE) == 0
        it.client.subscribe("t/+", qos)
        it.subscribed.get(timeout=PATIENCE)
        for number in range(500):
            it.client.publish("t/x", str(number), qos)
        got = [it.messages.get(timeout=PATIENCE) for _ in range(500)]
    assert [int(message.payload) for message in got] == list(range(500))
    assert {message.qos for message in got} == {qos}


def test_a_visible_denial_reaches_the_callback() -> None:
    """0x87 in on_publish and on_subscribe, as our runtime reads it."""
    with running_broker(ssl_context=server_context(), deny_visibly=True) as box:
        box.rules.by_client_id["c"] = rule(publications=set(), subscriptions=set())
        with _connected(box, paho.MQTTv5) as it:
            it.connects.get(timeout=PATIENCE)
            it.client.publish("t", "x", 1)
            assert it.published.get(timeout=PATIENCE) == Reason.NOT_AUTHORIZED
            it.client.subscribe("t", 1)
            assert it.subscribed.get(timeout=PATIENCE) == [Reason.NOT_AUTHORIZED]


@_VERSIONS
def test_a_silent_denial_looks_like_success(box: BrokerBox, version: int) -> None:
    """At QoS 1 and 2."""
    box.rules.by_client_id["c"] = rule(publications=set())
    with _connected(box, version) as it:
        it.connects.get(timeout=PATIENCE)
        for qos in (1, 2):
            it.client.publish("t", "x", qos)
            assert it.published.get(timeout=PATIENCE) == 0
    assert not box.messages
    assert len(box.events.denials) == 2


@_VERSIONS
def test_a_refusal_reaches_the_callback(box: BrokerBox, version: int) -> None:
    """Not authorised."""
    box.rules.by_client_id["c"] = rule(allowed=False)
    with _connected(box, version) as it:
        assert it.connects.get(timeout=PATIENCE) == "Not authorized"


def test_the_reason_of_a_disconnect_reaches_the_callback(box: BrokerBox) -> None:
    """Taken over by a client with the same id."""
    with _connected(box, paho.MQTTv5) as older:
        older.connects.get(timeout=PATIENCE)
        with _connected(box, paho.MQTTv5):
            assert older.disconnects.get(timeout=PATIENCE) == Reason.SESSION_TAKEN_OVER


def test_options_and_properties_of_mqtt_5(box: BrokerBox) -> None:
    """Written and read by paho's own classes."""
    with _connected(box, paho.MQTTv5) as it:
        it.connects.get(timeout=PATIENCE)
        options = SubscribeOptions(1, retainAsPublished=True)
        subscription = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
        subscription.SubscriptionIdentifier = 77
        it.client.subscribe("t", options=options, properties=subscription)
        it.subscribed.get(timeout=PATIENCE)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = [("a", "1"), ("a", "2")]
        properties.CorrelationData = b"\0\xff"
        properties.ResponseTopic = "re"
        properties.MessageExpiryInterval = 60
        it.client.publish("t", "x", 1, retain=True, properties=properties)
        message = it.messages.get(timeout=PATIENCE)
    assert message.retain
    assert message.properties is not None
    assert message.properties.json() == {  # type: ignore[no-untyped-call]
        "UserProperty": [("a", "1"), ("a", "2")],
        "CorrelationData": "00ff",
        "ResponseTopic": "re",
        "MessageExpiryInterval": 60,
        "SubscriptionIdentifier": [77],
    }


@_VERSIONS
def test_messages_under_way_survive_a_restart(box: BrokerBox, version: int) -> None:
    """Paho reconnects and sends again what was not acknowledged; nothing is lost."""
    with _connected(box, version) as it:
        it.client.reconnect_delay_set(1, 1)
        it.connects.get(timeout=PATIENCE)
        for number in range(300):
            it.client.publish("t", str(number), 1)
            if number == 150:
                box.run(box.broker.go_down())
                box.run(box.broker.start())
        box.until(lambda: {int(m.payload) for m in box.messages} == set(range(300)))
