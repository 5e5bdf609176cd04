"""Know the processes that the agent launched, and decide what a connection may do.

The Plugin tier belongs to registered processes, found by the PID of the connection's peer. The
Admin tier belongs to the holder of a client certificate of this agent's CA, which the TLS layer has
checked. No token, header or client id gives a tier, and no answer is kept: a connection that was
refused a moment ago may belong to a process that is registered now.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from epm_task.contract.client_id import DEFAULT_TEMPLATE, job_id_of
from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.simulator.processes import tree as process_tree
from epm_task.simulator.processes.peer import peer_pid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from epm_task.simulator.processes.peer import Address, Seen

#: The system-wide setting that holds the vendor's thumbprints of trusted signatures, and here the
#: SHA-256 digests of the programs that count as signed: not every system has signatures.
ALTERNATIVE_SIGNATURES: Final = "AlternativeSignatures"

#: See `ProcessRegistry`, and for `signed` `Access`.
Trust: TypeAlias = Literal["exact", "tree", "signed"]

#: What helps a caller that is refused.
_LAUNCH_IT: Final = "let the agent start it: as a job, or with `epm-task run`"
_NO_FAULT: Final = "switch the fault off"
_BY_ITSELF: Final = "call from the launched process, or start the agent with --trust tree"


class Launch(NamedTuple):
    """One process that the agent started."""

    pid: int  #: PID of the process.
    birth: float | None  #: What tells it from others with its PID; None when it had ended.
    run_id: str  #: Run to which it belongs.
    job_id: str  #: Job to which the run belongs.
    publications: frozenset[str] = frozenset()  #: Topics on which the job may publish.
    subscriptions: frozenset[str] = frozenset()  #: Topics to which the job may subscribe.


class Verdict(NamedTuple):
    """The registry's answer about one PID; *launch* is None when it is not registered."""

    launch: Launch | None
    reason: str
    fix: str = ""


@dataclass(slots=True)
class _Entry:
    launch: Launch
    due: float
    lost: bool = False


class ProcessRegistry:
    """The launched processes, by run; *clock* is in monotonic seconds.

    The trust `exact` registers the launched PID alone, which is what the field is known to do;
    `tree` registers its descendants too. `signed` registers as `exact` does.
    """

    def __init__(
        self,
        trust: Trust = "exact",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trust: Final = trust
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def add(self, launch: Launch, *, delay_seconds: float = 0.0) -> None:
        """Register a process, *delay_seconds* from now; `math.inf` is never.

        A later process of the same run replaces the earlier one, as one task follows another.
        """
        self._entries[launch.run_id] = _Entry(launch, self._clock() + delay_seconds)

    def lose(self, run_id: str) -> None:
        """Forget the registration while the process lives on: a fault for tests."""
        if entry := self._entries.get(run_id):
            entry.lost = True

    def remove(self, run_id: str) -> None:
        """Forget the process, because it has ended."""
        self._entries.pop(run_id, None)

    def candidates(self) -> frozenset[int]:
        """Return the PIDs that may hold a trusted connection, cheaply."""
        launched = self._launched()
        if self.trust != "tree":
            return launched
        return launched | process_tree.descendants(launched, newer_only=True)

    def relatives(self) -> frozenset[int]:
        """Return every descendant of a launched process; costs a walk over all processes."""
        return process_tree.descendants(self._launched())

    def judge(self, pid: int | None) -> Verdict:
        """Decide whether the process with this PID is registered now, with the reason."""
        if pid is None:
            why = "the connection belongs to no process launched by this agent"
            return Verdict(None, why, _LAUNCH_IT)
        by_pid = {entry.launch.pid: entry for entry in list(self._entries.values())}
        if entry := by_pid.get(pid):
            return self._judge_entry(entry)
        ancestor = process_tree.ancestor_among(pid, by_pid.keys())
        if ancestor is None:
            return Verdict(None, f"process {pid} was not launched by this agent", _LAUNCH_IT)
        if self.trust != "tree":
            who = f"launched process {ancestor} of job {by_pid[ancestor].launch.job_id}"
            why = f"process {pid} is a child of {who}, and trust is {self.trust}: {_BY_ITSELF}"
            return Verdict(None, why, _BY_ITSELF)
        return self._judge_entry(by_pid[ancestor])

    def _launched(self) -> frozenset[int]:
        return frozenset(entry.launch.pid for entry in list(self._entries.values()))

    def _judge_entry(self, entry: _Entry) -> Verdict:
        launch = entry.launch
        who = f"process {launch.pid} of job {launch.job_id}"
        if entry.lost:
            return Verdict(None, f"the registration of {who} was lost (fault)", _NO_FAULT)
        wait = entry.due - self._clock()
        if math.isinf(wait):  # the reason of its last request, too, when it has given up meanwhile
            return Verdict(None, f"{who} is never registered (fault)", _NO_FAULT)
        if launch.birth is None or process_tree.birth(launch.pid) != launch.birth:
            why = f"{who} has ended, and its PID is used by another process or by none"
            return Verdict(None, why)
        if wait > 0:
            return Verdict(None, f"{who} is not registered yet; it will be in {wait:.3f} s")
        return Verdict(launch, f"{who} was launched by this agent")


class Caller(NamedTuple):
    """Who holds the far end of a connection."""

    launch: Launch | None  #: The registered process, which has the Plugin tier; else None.
    admin: bool  #: Whether the client certificate is one of this agent's CA.
    reason: str  #: Why the process has the Plugin tier, or why not.
    #: PID of the process when it was launched by this agent or descends from such a one.
    pid: int | None
    fix: str = ""  #: What helps one that has not.


class MqttAdmission(NamedTuple):
    """What a client may do on the broker."""

    allowed: bool  #: Whether the client may connect.
    reason: str  #: Why, or why not.
    job_id: str | None = None  #: The job that the client id names; None when it names none.
    #: The client's process; None for the admin certificate, to which all is allowed.
    launch: Launch | None = None
    fix: str = ""  #: What helps a client that may not.

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
    """The tiers of callers.

    *signed* returns a text with the SHA-256 digests of the programs that count as signed; with the
    trust `signed` the broker admits no other.
    """

    def __init__(
        self,
        registry: ProcessRegistry,
        *,
        client_id_template: str = DEFAULT_TEMPLATE,
        signed: Callable[[], str] = str,
    ) -> None:
        self._registry = registry
        self._template = client_id_template
        self._signed = signed
        self._seen: Seen = {}

    def identify(
        self, local: Address, peer: Address, peer_certificate: Mapping[str, Any] | None
    ) -> Caller:
        """Return who is at the far end of a TCP connection now; see `SSLSocket.getpeercert`."""
        registry = self._registry
        # Only a refusal pays for `relatives`: a launched process's child, for the reason.
        pid = peer_pid(
            local, peer, registry.candidates(), others=registry.relatives, seen=self._seen
        )
        verdict = registry.judge(pid)
        return Caller(verdict.launch, bool(peer_certificate), verdict.reason, pid, verdict.fix)

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
        why_not, fix = "" if launch else caller.reason, caller.fix
        if launch and job_id != launch.job_id:
            why_not = (
                f"the client id names job {job_id!r}, and the process runs job {launch.job_id!r}"
            )
            fix = "make the client id of KEEPER_JOB_ID"
        if launch and not why_not and self._registry.trust == "signed":
            why_not = self._unsigned(launch.pid)
        allowed, reason = not why_not, why_not or caller.reason
        return MqttAdmission(allowed, reason, job_id, launch, "" if allowed else fix)

    def _unsigned(self, pid: int) -> str:
        """Return why the program of a process does not count as signed; empty when it does."""
        import psutil  # noqa: PLC0415  # see tree.py

        try:
            program, digest = process_tree.program_digest(pid)
        except (OSError, psutil.Error) as error:
            return f"the program of process {pid} cannot be read, and trust is signed: {error}"
        if digest in self._signed().casefold():
            return ""
        return (
            f"{program}, the program of process {pid}, is not signed, and trust is signed: sign it "
            "for the field (`epm-task freeze --sign-command`), and here let "
            f"--setting {SYSTEM_PLUGIN}.{ALTERNATIVE_SIGNATURES} hold its SHA-256, {digest}"
        )
