"""A listener accepts connections on one socket and bounds how many there are.

asyncio's own server accepts without a bound, and each TLS connection costs it 256 KiB at once:
2 000 clients that say nothing would take half a gigabyte.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from typing import TYPE_CHECKING, Any, Final

from epm_task.simulator.api.connection import Connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from epm_task.simulator.api.limits import Limits

#: Out of file descriptors: wait until some connections have ended.
_EXHAUSTED_SECONDS: Final = 0.1

#: A client that does not answer our TLS goodbye holds its buffers no longer than this.
_GOODBYE_SECONDS: Final = 1.0

_STOP_SECONDS: Final = 2.0


class Listener:
    """The connections of one port.

    Args:
        listening: The listening socket; the listener closes it.
        protocol: Makes the HTTP protocol of one connection.
        limits: The bounds.
        context: TLS; None is plain.
        on_refused: Called with the client's address and the reason when TLS did not come about.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        limits: Limits,
        *,
        context: ssl.SSLContext | None = None,
        on_refused: Callable[[Any, str], None] | None = None,
    ) -> None:
        self._socket = listening
        self._protocol = protocol
        self._limits = limits
        self._context = context
        self._on_refused = on_refused
        self._waiting: dict[asyncio.Task[None], None] = {}
        self._open: dict[Connection, None] = {}
        self._accepting: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port, also when any free one was asked for."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Accept connections from now on."""
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Accept no more connections; those that are open go on."""
        if self._accepting is not None:
            self._accepting.cancel()
        self._socket.close()

    async def abort(self) -> None:
        """End every connection, and return when they are gone."""
        self.close()
        tasks = [*self._waiting, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        async with asyncio.timeout(_STOP_SECONDS):
            for connection in connections:
                await connection.closed.wait()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._socket)
            except OSError:
                await asyncio.sleep(_EXHAUSTED_SECONDS)
                continue
            self._make_room()
            task = asyncio.create_task(self._connect(accepted, address))
            self._waiting[task] = None
            task.add_done_callback(functools.partial(self._settle, accepted))
            # Accepting does not yield while others queue up; those that were ended must get to end.
            await asyncio.sleep(0)

    def _settle(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._waiting.pop(task, None)
        # A task that was cancelled before its first step has given the socket to nobody.
        if task.cancelled():
            accepted.close()

    def _make_room(self) -> None:
        waiting = [task for task in self._waiting if not task.cancelling()]
        if len(waiting) + len(self._open) < self._limits.connections:
            return
        if waiting:
            waiting[0].cancel()
        elif idle := next((one for one in self._open if not one.busy), None):
            idle.abort()

    async def _connect(self, accepted: socket.socket, address: Any) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(self._protocol(), self._limits, self._open)
        try:
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake_seconds if self._context else None,
                ssl_shutdown_timeout=_GOODBYE_SECONDS if self._context else None,
            )
        except OSError as error:
            if self._on_refused is not None:
                self._on_refused(address, _reason(error))


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client certificate is not one of this agent's CA ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return error.strerror or str(error) or type(error).__name__
