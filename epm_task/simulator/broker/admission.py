"""An admission is what one connection may do, decided once, when it sends CONNECT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Host and port of one end of a connection.
Address = tuple[str, int]


class Admission(Protocol):
    """The answer to one CONNECT."""

    @property
    def allowed(self) -> bool:
        """Whether the connection may exist at all."""

    @property
    def reason(self) -> str:
        """One clause for the trace: why it may, or may not."""

    @property
    def job_id(self) -> str | None:
        """The job that the client id names."""

    @property
    def run_id(self) -> str | None:
        """The run of the client; None for the admin certificate."""

    def may_publish(self, topic: str) -> bool:
        """Return whether a publication on *topic* is carried."""

    def may_subscribe(self, topic_filter: str) -> bool:
        """Return whether a subscription to *topic_filter* is kept."""


class Admits(Protocol):
    """Whoever decides about connections: the simulator's access rules, or a test's."""

    def admit(
        self,
        client_id: str,
        local: Address,
        peer: Address,
        peer_certificate: Mapping[str, Any] | None,
    ) -> Admission:
        """Return what the client at *peer* may do under *client_id*."""
