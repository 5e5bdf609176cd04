"""The fixtures of the broker's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from simulator.broker.broker_box import BrokerBox, running_broker

from epm_task.simulator.broker import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def box() -> Iterator[BrokerBox]:
    """A broker without TLS that allows everything."""
    with running_broker(limits=Limits(linger_seconds=0.1)) as running:
        yield running
