"""Access is the one place that decides what a connection may do, over HTTPS or over MQTT.

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
    """Who holds the far end of a connection.

    Attributes:
        launch: The registered process, which has the Plugin tier; else None.
        admin: Whether the client certificate is one of this agent's CA.
        reason: Why the process has the Plugin tier, or why not.
        pid: PID of the process when it was launched by this agent or descends from such a one.
    """

    launch: Launch | None
    admin: bool
    reason: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class MqttAdmission:
    """What a client may do on the broker.

    Attributes:
        allowed: Whether the client may connect.
        reason: Why, or why not.
        job_id: The job that the client id names; None when it names none.
        run_id: The run to which the process belongs; None for an admin.
        unlimited: Whether every topic is allowed.
        publications: Topics on which the client may publish.
        subscriptions: Topics to which the client may subscribe.
    """

    allowed: bool
    reason: str
    job_id: str | None = None
    run_id: str | None = None
    unlimited: bool = False
    publications: frozenset[str] = frozenset()
    subscriptions: frozenset[str] = frozenset()

    def may_publish(self, topic: str) -> bool:
        """Return whether the job declares *topic* as a publication; names match exactly."""
        return self.unlimited or topic in self.publications

    def may_subscribe(self, topic_filter: str) -> bool:
        """Return whether the job declares *topic_filter* as a subscription; names match exactly."""
        return self.unlimited or topic_filter in self.subscriptions


class Access:
    """The tiers of callers.

    Args:
        registry: The processes that the agent launched.
        client_id_template: Where the job id stands in a client id.
    """

    def __init__(
        self, registry: ProcessRegistry, *, client_id_template: str = DEFAULT_TEMPLATE
    ) -> None:
        self._registry = registry
        self._template = client_id_template

    def identify(
        self, local: Address, peer: Address, peer_certificate: Mapping[str, Any] | None
    ) -> Caller:
        """Return who is at the far end of a TCP connection now.

        Args:
            local: The agent's address of the connection.
            peer: The caller's address of the connection.
            peer_certificate: `SSLSocket.getpeercert()`: empty or None when none was verified.
        """
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
        job_id = job_id_of(client_id, template=self._template)
        if caller.admin:
            return MqttAdmission(
                allowed=True, reason="admin certificate", job_id=job_id, unlimited=True
            )
        launch = caller.launch
        if launch is None:
            return MqttAdmission(allowed=False, reason=caller.reason, job_id=job_id)
        if job_id != launch.job_id:
            why = f"the client id names job {job_id!r}, and the process runs job {launch.job_id!r}"
            return MqttAdmission(allowed=False, reason=why, job_id=job_id)
        return MqttAdmission(
            allowed=True,
            reason=caller.reason,
            job_id=job_id,
            run_id=launch.run_id,
            publications=launch.publications,
            subscriptions=launch.subscriptions,
        )
