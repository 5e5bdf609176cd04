"""gmqtt, a second client library, against the broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from simulator.broker.broker_box import BrokerBox

gmqtt = pytest.importorskip("gmqtt", reason="gmqtt is not installed (pip install gmqtt)")


async def _exchange(port: int, version: int, qos: int) -> tuple[list[bytes], dict[str, Any]]:
    got: asyncio.Queue[tuple[bytes, dict[str, Any]]] = asyncio.Queue()
    subscribed = asyncio.Event()

    async def on_message(
        client: object, topic: str, payload: bytes, level: int, properties: dict[str, Any]
    ) -> int:
        await got.put((payload, properties))
        return 0

    client = gmqtt.Client(f"job_{version}{qos}")
    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    await client.connect("127.0.0.1", port, version=version)
    client.subscribe("t/#", qos=qos)
    await asyncio.wait_for(subscribed.wait(), 5)
    for number in range(50):
        options = {"content_type": "json"} if version == 5 else {}
        client.publish("t/x", str(number), qos=qos, **options)
    answers = [await asyncio.wait_for(got.get(), 5) for _ in range(50)]
    await client.disconnect()
    return [payload for payload, _ in answers], answers[0][1]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_come_back_in_order(box: BrokerBox, version: int, qos: int) -> None:
    """50 of them, from one client to itself; with a property in MQTT 5."""
    payloads, properties = asyncio.run(_exchange(box.port, version, qos))
    assert payloads == [str(number).encode() for number in range(50)]
    if version == 5:
        assert properties["content_type"] == ["json"]
