"""Run the agent's MQTT broker: MQTT 3.1.1 and 5, silent about what it denies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from epm_task.simulator.broker.client import Client
from epm_task.simulator.broker.connection import Limits
from epm_task.simulator.broker.packet import Reason
from epm_task.simulator.broker.state import BrokerState
from epm_task.simulator.faults.faults import Faults
from epm_task.simulator.listener import Listener
from epm_task.simulator.start_error import listen

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from epm_task.simulator.broker.message import Message
    from epm_task.simulator.processes.registry import Access
    from epm_task.simulator.trace import Trace

#: How long clients get to read their last packet when the broker stops.
_FAREWELL_SECONDS: Final = 1.0


class Broker:
    """An MQTT server that asks about every connection, publication, subscription.

    All methods belong to the thread of the event loop in which `start` was awaited. Without
    *ssl_context* it is plain TCP; port 0 is any free one; with *deny_visibly* denials are answered
    with 0x87 where MQTT 5 has room for it; *on_message* is called with every message that was let
    through, in the order of arrival.
    """

    def __init__(  # noqa: PLR0913 - keywords only, each with a default
        self,
        access: Access,
        trace: Trace,
        *,
        ssl_context: ssl.SSLContext | None,
        host: str = "127.0.0.1",
        port: int = 0,
        deny_visibly: bool = False,
        on_message: Callable[[Message], None] | None = None,
        limits: Limits | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.host: Final = host
        self.port: int = port  #: The port that is listened on; the wanted one before `start`.
        self._ssl_context: Final = ssl_context
        self._listener: Listener | None = None
        self._state: Final = BrokerState(
            access=access,
            trace=trace,
            limits=limits or Limits(),
            faults=faults or Faults(),
            deny_visibly=deny_visibly,
            on_message=on_message,
        )

    async def start(self) -> None:
        """Listen.

        Raises:
            PortTaken: Another process listens there.
        """
        self._listener = Listener(
            listen(self.host, self.port),
            lambda: Client(self._state),
            context=self._ssl_context,
            handshake_seconds=self._state.limits.connect_seconds,
            on_refused=self._note_refused,
        )
        self.port = self._listener.port

    async def stop(self) -> None:
        """Tell the clients, close all connections, forget sessions and retained messages."""
        if self._listener is not None:
            await self._listener.close()
            for connection in list(self._state.connections):
                connection.end(Reason.SERVER_SHUTTING_DOWN, "the broker stops")
            if leaving := [connection.lost for connection in self._state.connections]:
                await asyncio.wait(leaving, timeout=_FAREWELL_SECONDS)
            await self._listener.abort()
        self._state.clear()

    async def go_down(self) -> None:
        """Refuse connections, as a broker that was killed; sessions survive until `stop`."""
        if self._listener is not None:
            await self._listener.close()
            for connection in list(self._state.connections):
                connection.hang_up()
            await self._listener.abort()

    def publish(self, message: Message) -> None:
        """Carry a message of the agent itself."""
        self._state.publish(message)

    def _note_refused(self, _: Any, reason: str) -> None:
        why = f"no TLS: {reason}"
        self._state.trace.add("mqtt", "closed", "a connection was closed", reason=why)
