"""Run sources are what can be read about a run from outside: its records, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epm_task.admin.agent_root import AgentRoot
from epm_task.admin.broker_records import BrokerRecords
from epm_task.admin.follow import Follower
from epm_task.admin.log_records import LogRecords, RecordSource
from epm_task.admin.run_history import RunHistory
from epm_task.cli.failure import Failure
from epm_task.runtime.loopback import loopback_ip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from epm_task.admin.credential import Credential


def make_follower(  # noqa: PLR0913 - each is an option of the command line
    job_id: str,
    credential: Credential,
    *,
    agent_root: Path | None,
    log: Path | None,
    broker: str | None,
    show: Callable[[dict[str, Any]], None],
) -> Follower:
    """Return a follower that sees everything from now on.

    Raises:
        Failure: None of the sources was given, or a file cannot be read.
        AdminError: The broker cannot be used.
    """
    if agent_root is None and log is None and broker is None:
        raise Failure(
            "--wait needs something to read the run from",
            "give --agent-root for log and run history, --log FILE, or --broker HOST:PORT",
        )
    root = AgentRoot(agent_root.absolute()) if agent_root else None
    file = log or (root.keeper_logger if root else None)
    try:
        source: RecordSource | None = LogRecords(file, job_id) if file else None
        history = RunHistory(root.run_history) if root else None
    except OSError as error:
        raise Failure(
            f"{error.filename} cannot be read: {error.strerror}", "run this as an administrator"
        ) from error
    if broker is not None:
        source = BrokerRecords(broker_address(broker), credential, job_id)
    return Follower(source, history, show)


def broker_address(text: str) -> tuple[str, int]:
    """Return IP address and port of `HOST:PORT`.

    Raises:
        Failure: It has another form, or is not on loopback.
    """
    host, _, port = text.rpartition(":")
    ip = loopback_ip(host.strip("[]"))
    if ip is None or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise Failure(f"--broker {text} is no address on loopback", "write 127.0.0.1:PORT")
    return ip, int(port)
