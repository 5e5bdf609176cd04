"""A sender is an outbox with a real delivery to a port, and what the delivery refused."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peers.task_process import poll
from runtime.trusting import trusting_context

from epm_task.runtime.broker.connection import BrokerAddress
from epm_task.runtime.broker.delivery import Delivery
from epm_task.runtime.log.outbox import Message, Outbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Sender:
    """An outbox, its delivery, and the refusals."""

    outbox: Outbox
    delivery: Delivery
    refused: list[tuple[Message, int, str]] = field(default_factory=list)

    def send(self, *payloads: bytes, topic: str = "t") -> None:
        """Offer messages, and wake the delivery as the log pipe does."""
        for payload in payloads:
            assert self.outbox.offer(Message(topic, payload), 5)
            self.delivery.notify()

    def await_empty(self) -> None:
        """Wait until everything was acknowledged or refused."""
        poll(lambda: self.outbox.empty)


@contextmanager
def sender(port: int) -> Iterator[Sender]:
    """Yield a sender to a port of 127.0.0.1; its thread ends with the block."""
    outbox, refused = Outbox(), []
    address = BrokerAddress("127.0.0.1", port, "key-scanner_7f", trusting_context())
    delivery = Delivery(outbox, address, lambda *refusal: refused.append(refusal))
    try:
        yield Sender(outbox, delivery, refused)
    finally:
        delivery.close(5)
