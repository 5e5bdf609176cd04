"""Accept connections on one port, with TLS when asked, and end them all when the port is closed.

asyncio's own server keeps the reason of a failed handshake to itself. The agent must tell it: a
client certificate of another CA, or plain HTTP on the HTTPS port, is a mistake that authors make.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import FIRST_COMPLETED
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

#: For the TLS handshake, and for a first MQTT packet after it: longer than a task waits for either.
HANDSHAKE_SECONDS: Final = 20.0

#: So many handshakes are under way at once, and the next clients wait in the order in which they
#: came. With all under way, a busy agent would serve all at the same moment, too late for each.
AT_ONCE: Final = 16

#: A client that says nothing holds up the next one no longer.
_HOLD_UP_SECONDS: Final = 1.0

#: A client that does not answer our TLS goodbye holds its buffers no longer than this.
_GOODBYE_SECONDS: Final = 1.0

#: Out of file descriptors: wait until some connections have ended.
_EXHAUSTED_SECONDS: Final = 0.1


class Listener:
    """The connections of one port, accepted from now on; without *context* they are plain.

    *listening* must not block, and is closed at the end; *on_refused* gets the client's address and
    the reason when TLS was not agreed on.
    """

    def __init__(  # noqa: PLR0913 - keywords, most with a default
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        *,
        context: ssl.SSLContext | None = None,
        handshake_seconds: float = HANDSHAKE_SECONDS,
        hold_up_seconds: float = _HOLD_UP_SECONDS,
        on_refused: Callable[[Any, str], None],
    ) -> None:
        self._socket: Final = listening
        self._protocol: Final = protocol
        self._context: Final = context
        self._handshake_seconds: Final = handshake_seconds
        self._hold_up_seconds: Final = hold_up_seconds
        self._on_refused: Final = on_refused
        self._handshakes: set[asyncio.Task[None]] = set()
        self._open: WeakSet[asyncio.Transport] = WeakSet()
        self._accepting: Final = asyncio.create_task(self._accept())

    @property
    def port(self) -> int:
        """The port, also when any free one was asked for."""
        return int(self._socket.getsockname()[1])

    async def close(self) -> None:
        """Accept no more connections, and give up the handshakes; what is open goes on."""
        tasks = [self._accepting, *self._handshakes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._socket.close()

    async def abort(self) -> None:
        """End every connection that is still open."""
        for transport in list(self._open):
            transport.abort()
        # The sockets are closed in the next turn of the loop, and those with TLS say so in another.
        for _ in range(2):
            await asyncio.sleep(0)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if len(self._handshakes) >= AT_ONCE:
                await asyncio.wait(
                    self._handshakes, timeout=self._hold_up_seconds, return_when=FIRST_COMPLETED
                )
            try:
                accepted, address = await loop.sock_accept(self._socket)
            except OSError:
                await asyncio.sleep(_EXHAUSTED_SECONDS)
                continue
            task = asyncio.create_task(self._connect(accepted, address))
            self._handshakes.add(task)
            task.add_done_callback(partial(self._settle, accepted))

    def _settle(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(task)
        # A task that was cancelled before its first step has given the socket to nobody.
        if task.cancelled():
            accepted.close()

    async def _connect(self, accepted: socket.socket, address: Any) -> None:
        secure = self._context is not None
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_seconds if secure else None,
                ssl_shutdown_timeout=_GOODBYE_SECONDS if secure else None,
            )
        except OSError as error:
            self._on_refused(address, _reason(error))
        else:
            self._open.add(transport)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client certificate is not one of this agent's CA ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return error.strerror or str(error) or type(error).__name__
