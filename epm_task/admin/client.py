"""An admin client calls the Job Management API and waits for each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from epm_task.admin.credential import Credential
from epm_task.admin.endpoints import Endpoints
from epm_task.admin.exchange import CALL_SECONDS, Exchange

if TYPE_CHECKING:
    from epm_task.admin.call import Call

T = TypeVar("T")


class AdminClient(Endpoints):
    """The API of one agent; `with AdminClient(…) as admin: admin.list_jobs()`.

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
        self._exchange = Exchange(
            base_url,
            credential or Credential(),
            call_seconds=call_seconds,
            allow_remote=allow_remote,
        )
        self.url = self._exchange.url

    def send(self, call: Call[T]) -> T:
        """Send a call that an endpoint has made, and return its result."""
        return self._exchange.send(call)

    def close(self) -> None:
        """Close the connection."""
        self._exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
