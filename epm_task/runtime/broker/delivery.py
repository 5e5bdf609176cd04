"""A delivery is the thread that carries an outbox to the broker, reconnecting when it must."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from epm_task.errors import BrokerError, BrokerUnreachable
from epm_task.runtime.agent.client import waits
from epm_task.runtime.broker.connection import ConnectionLost, MqttConnection, VersionRefused
from epm_task.runtime.broker.session import MqttSession, Stalled

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.runtime.broker.connection import BrokerAddress
    from epm_task.runtime.log.outbox import Message, Outbox

#: On loopback a broker that restarts is back soon; one that is down is not worth a busy loop.
_FIRST_WAIT_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 2.0
#: A message that makes the broker hang up would be sent first, for ever. After two losses without
#: an acknowledgement messages go one by one, and the one that fails is given up.
_LOSSES_BEFORE_LONE: Final = 2


class Delivery:
    """Sends what the outbox holds, in a thread of its own, until it is closed.

    Args:
        outbox: What to send.
        address: Where, and as whom.
        refused: Called in that thread with each message that will not be acknowledged, the reason
            code, and the reason in words.
    """

    def __init__(
        self, outbox: Outbox, address: BrokerAddress, refused: Callable[[Message, int, str], None]
    ) -> None:
        self.address: Final = address
        self.refuse: Final = refused
        self.asleep = False
        self.closing = False
        self.connected = False
        self.fatal: BrokerError | None = None
        self.problem = "not tried yet"
        self._outbox = outbox
        self._mqtt5 = True
        self._losses = 0
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="epm-task-delivery", daemon=True)
        self._thread.start()

    def wait_until_connected(self, seconds: float) -> None:
        """Return when the broker has accepted the connection.

        Raises:
            BrokerUnreachable: It has not in *seconds*.
            BrokerError: It refused, or is not the agent's.
        """
        started = time.monotonic()
        with self._outbox.changed:
            self._outbox.changed.wait_for(lambda: self.connected or self.fatal, seconds)
        if self.fatal is not None:
            raise self.fatal
        if not self.connected:
            passed = time.monotonic() - started
            raise BrokerUnreachable(str(self.address), passed, self.problem)

    def notify(self) -> None:
        """Tell the thread that the outbox holds something new."""
        if self.asleep:
            self.asleep = False
            self._wake()

    def close(self, seconds: float) -> None:
        """Say goodbye to the broker and end the thread; wait for that at most *seconds*."""
        self.closing = True
        self._wake()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            self._wake_reader.close()
            self._wake_writer.close()

    def _wake(self) -> None:
        try:
            self._wake_writer.send(b"\0")
        except OSError:
            return  # it is full of wake-ups already, or closed

    def _run(self) -> None:
        try:
            while (connection := self._connect()) is not None:
                self._serve(connection)
        except BrokerError as error:
            self.fatal = error
            self._report(connected=False, problem=str(error))

    def _connect(self) -> MqttConnection | None:
        delays = waits(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        while not self.closing:
            try:
                return MqttConnection(self.address, mqtt5=self._mqtt5)
            except VersionRefused as error:
                self._mqtt5 = not self._mqtt5
                self._report(connected=False, problem=str(error))
            except ConnectionLost as error:
                self._report(connected=False, problem=str(error))
            self._sleep(next(delays))
        return None

    def _sleep(self, seconds: float) -> None:
        # Only closing wakes it: while there is no connection nobody sees `asleep`.
        self._wake_reader.settimeout(seconds)
        try:
            self._wake_reader.recv(4096)
        except TimeoutError:
            return
        finally:
            self._wake_reader.setblocking(False)

    def _serve(self, connection: MqttConnection) -> None:
        lone = self._losses >= _LOSSES_BEFORE_LONE
        session = MqttSession(connection, self._outbox, self, self._wake_reader, lone=lone)
        self._report(connected=True, problem="")
        problem: ConnectionLost | None = None
        try:
            session.run()
        except ConnectionLost as error:
            problem = error
        except OSError as error:  # such as no descriptor left for the selector
            problem = ConnectionLost(error.strerror or str(error))
        connection.close(politely=problem is None)
        self._count_loss(problem, progress=session.progress, lone=lone)
        self._outbox.put_back()
        self._report(connected=False, problem=str(problem or "closed"))

    def _count_loss(self, problem: ConnectionLost | None, *, progress: bool, lone: bool) -> None:
        if progress:
            self._losses = 0
        if problem is None or isinstance(problem, Stalled) or not self._outbox.in_flight:
            return
        self._losses += 1
        if lone and not progress and (message := self._outbox.withdraw_oldest()):
            self._losses = 0
            self.refuse(message, 0, f"the broker hung up each time it was sent ({problem})")

    def _report(self, *, connected: bool, problem: str) -> None:
        with self._outbox.changed:
            self.connected = connected
            self.problem = problem
            self._outbox.changed.notify_all()
