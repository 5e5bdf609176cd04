"""Decide what a connection may do, over HTTPS or over MQTT.

The Plugin tier belongs to registered processes, found by the PID of the connection's peer. The
Admin tier belongs to the holder of a client certificate of this agent's CA, which the TLS layer has
checked. No token, header or client id gives a tier, and no answer is kept: a connection that was
refused a moment ago may belong to a process that is registered now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epm_task.contract.client_id import DEFAULT_TEMPLATE, job_id_of
from epm_task.simulator.processes.peer import peer_pid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.simulator.processes.peer import Address
    from epm_task.simulator.processes.registry import Launch, ProcessRegistry


@dataclass(frozen=True, slots=True)
class Caller:
    """Who holds the far end of a connection."""

    launch: Launch | None  #: The registered process, which has the Plugin tier; else None.
    admin: bool  #: Whether the client certificate is one of this agent's CA.
    reason: str  #: Why the process has the Plugin tier, or why not.
    #: PID of the process when it was launched by this agent or descends from such a one.
    pid: int | None


@dataclass(frozen=True, slots=True)
class MqttAdmission:
    """What a client may do on the broker."""

    allowed: bool  #: Whether the client may connect.
    reason: str  #: Why, or why not.
    job_id: str | None = None  #: The job that the client id names; None when it names none.
    #: The client's process; None for the admin certificate, to which all is allowed.
    launch: Launch | None = None

    @property
    def run_id(self) -> str | None:
        """The run to which the process belongs."""
        return self.launch.run_id if self.launch else None

    def may_publish(self, topic: str) -> bool:
        """Return whether the job declares *topic* as a publication; names match exactly."""
        return self.allowed and (self.launch is None or topic in self.launch.publications)

    def may_subscribe(self, topic_filter: str) -> bool:
        """Return whether the job declares *topic_filter* as a subscription; names match exactly."""
        return self.allowed and (self.launch is None or topic_filter in self.launch.subscriptions)


class Access:
    """The tiers of callers."""

    def __init__(
        self, registry: ProcessRegistry, *, client_id_template: str = DEFAULT_TEMPLATE
    ) -> None:
        self._registry = registry
        self._template = client_id_template

    def identify(
        self, local: Address, peer: Address, peer_certificate: Mapping[str, Any] | None
    ) -> Caller:
        """Return who is at the far end of a TCP connection now; see `SSLSocket.getpeercert`."""
        registry = self._registry
        pid = peer_pid(local, peer, registry.candidates())
        if pid is None:
            # Only a refusal pays for this: it finds a launched process's child, for the reason.
            pid = peer_pid(local, peer, registry.relatives())
        verdict = registry.judge(pid)
        return Caller(verdict.launch, bool(peer_certificate), verdict.reason, pid)

    def admit(
        self,
        client_id: str,
        local: Address,
        peer: Address,
        peer_certificate: Mapping[str, Any] | None,
    ) -> MqttAdmission:
        """Decide whether a client may connect to the broker under *client_id*."""
        caller = self.identify(local, peer, peer_certificate)
        job_id, launch = job_id_of(client_id, template=self._template), caller.launch
        if caller.admin:
            return MqttAdmission(allowed=True, reason="admin certificate", job_id=job_id)
        why_not = "" if launch else caller.reason
        if launch and job_id != launch.job_id:
            why_not = (
                f"the client id names job {job_id!r}, and the process runs job {launch.job_id!r}"
            )
        allowed, reason = not why_not, why_not or caller.reason
        return MqttAdmission(allowed=allowed, reason=reason, job_id=job_id, launch=launch)
