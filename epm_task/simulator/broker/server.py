"""The broker is the agent's MQTT server: 3.1.1 and 5, silent about what it denies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from epm_task.simulator.broker import reason as reasons
from epm_task.simulator.broker.disturbance import Disturbance, Undisturbed
from epm_task.simulator.broker.exchange import Exchange
from epm_task.simulator.broker.limits import Limits
from epm_task.simulator.broker.listener import Listener
from epm_task.simulator.broker.parts import Parts
from epm_task.simulator.broker.sessions import SessionTable
from epm_task.simulator.broker.waiting_room import WaitingRoom
from epm_task.simulator.broker.will import PendingWills

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from epm_task.simulator.broker.admission import Admits, Traces
    from epm_task.simulator.broker.message import Message


class Broker:
    """An MQTT server that asks about every connection, publication, subscription.

    All methods belong to the thread of the event loop in which `start` was awaited.

    Args:
        access: Asked once for each CONNECT, before any session is touched.
        trace: Gets every decision, above all the denials that clients do not see.
        ssl_context: TLS of the server; None for plain TCP.
        host: Address to listen on.
        port: 0 for any free one.
        deny_visibly: Answer denials with 0x87 where MQTT 5 has room for it.
        on_message: Called with every message that was let through, in the order of arrival.
        limits: Bounds against hostile or slow clients.
        faults: What the broker does wrong on purpose.
    """

    def __init__(  # noqa: PLR0913 - keywords only, each with a default
        self,
        access: Admits,
        trace: Traces,
        *,
        ssl_context: ssl.SSLContext | None,
        host: str = "127.0.0.1",
        port: int = 0,
        deny_visibly: bool = False,
        on_message: Callable[[Message], None] | None = None,
        limits: Limits | None = None,
        faults: Disturbance | None = None,
    ) -> None:
        """Assemble the parts; nothing listens yet."""
        limits = limits or Limits()
        self.host: Final = host
        #: The port that is listened on; the wanted one before `start`.
        self.port = port
        self._exchange: Final = Exchange(limits, trace, on_message)
        wills = PendingWills(self._exchange.publish_apart)
        self._sessions: Final = SessionTable(limits, trace, self._exchange.subscriptions, wills)
        self._listener: Final = Listener(
            Parts(
                access=access,
                traces=trace,
                limits=limits,
                disturbance=faults or Undisturbed(),
                deny_visibly=deny_visibly,
                exchange=self._exchange,
                wills=wills,
                sessions=self._sessions,
                waiting=WaitingRoom(limits.half_open, trace),
            ),
            ssl_context,
        )

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self.port = await self._listener.open(self.host, self.port)

    async def stop(self) -> None:
        """Tell the clients, close all connections, forget sessions and retained messages."""
        await self._listener.close(reasons.SERVER_SHUTTING_DOWN, "the broker stops")
        self._sessions.clear()
        self._exchange.retained.clear()

    async def go_down(self) -> None:
        """Refuse connections, as a broker that was killed; sessions survive until `stop`."""
        self._listener.drop_all()
        await self._listener.close(reasons.SUCCESS, "the broker is down")

    async def restart(self, *, keep_sessions: bool = True) -> None:
        """Drop all connections, then listen on the same port again."""
        await self.go_down()
        if not keep_sessions:
            self._sessions.clear()
            self._exchange.retained.clear()
        await self.start()

    def drop_all(self) -> None:
        """Drop every connection without a word; clients may come back at once."""
        self._listener.drop_all()
        self._exchange.flush()

    def publish(self, message: Message) -> None:
        """Carry a message of the agent itself."""
        self._exchange.publish_apart(message)
