"""An asynchronous admin client calls the Job Management API without holding up an event loop.

Its calls run in a few threads, each on a connection of its own. So the TLS handshake, the check of
who holds the port, the total time and the limit of an answer exist once, in `Exchange`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self, TypeVar

from epm_task.admin.credential import Credential
from epm_task.admin.endpoints import Endpoints
from epm_task.admin.exchange import CALL_SECONDS, Exchange

if TYPE_CHECKING:
    from epm_task.admin.call import Call

T = TypeVar("T")

#: One agent on loopback answers in milliseconds; more calls at once would only wait there.
_CONNECTIONS: Final = 4


class AsyncAdminClient(Endpoints):
    """The API of one agent; `async with AsyncAdminClient(…) as admin: await admin.list_jobs()`.

    A call that is cancelled may still reach the agent, as with any network call.

    Args:
        base_url: `https://127.0.0.1:PORT`.
        credential: The client certificate, its key, and the CA of the agent.
        call_seconds: Longest time for one call.
        allow_remote: Take a host off loopback; needs `credential.ca`.

    Raises:
        AdminError: On each call, and for a credential or an address that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        credential: Credential | None = None,
        *,
        call_seconds: float = CALL_SECONDS,
        allow_remote: bool = False,
    ) -> None:
        self._idle = deque(
            Exchange(
                base_url,
                credential or Credential(),
                call_seconds=call_seconds,
                allow_remote=allow_remote,
            )
            for _ in range(_CONNECTIONS)
        )
        self.url = self._idle[0].url
        self._threads = ThreadPoolExecutor(_CONNECTIONS, "epm-admin")

    async def send(self, call: Call[T]) -> T:
        """Send a call that an endpoint has made, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._send, call)

    async def aclose(self) -> None:
        """Wait for the calls under way and close the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        for exchange in self._idle:
            exchange.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _send(self, call: Call[T]) -> T:
        exchange = self._idle.pop()  # there are as many as threads
        try:
            return exchange.send(call)
        finally:
            self._idle.append(exchange)
