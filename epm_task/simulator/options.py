"""The agent options are what can be chosen when an agent is started."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from epm_task.contract.client_id import DEFAULT_TEMPLATE
from epm_task.simulator.jobs.task import GRACE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from epm_task.simulator.faults.faults import Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """How an agent is started.

    Attributes:
        trust: Whether a launched process alone has the Plugin tier, or its descendants too.
        registration_delay: Seconds from the start of a process to its registration, or a range
            from which each run takes its own.
        log_level: Lowest level that goes to the KeeperLogger file; the field's default is Warning.
        host: Loopback address.
        https_port: 0 for any free one; None for that of `appsettings.json`, when it has one.
        http_port: The same for plain HTTP.
        mqtt_port: 0 for any free one.
        deny_visibly: Whether the broker answers denials with 0x87 where MQTT 5 has room for it.
        stable_ca: Whether the certificate authority is kept over restarts.
        client_id_template: Where the job id stands in a client id.
        bare_values: Whether the API answers one setting as a bare JSON string.
        grace_seconds: Between SIGTERM and SIGKILL.
        settings: Compiled-in settings by plugin and key.
        conditions: What the `condition` of a job is taken for, by job id.
        faults: What goes wrong on purpose.
        start_time: Where the scheduler's clock starts; now when None.
        trace_file: Takes every decision as a JSON line.
        record_file: Takes every API exchange and every MQTT message as a JSON line.
        replay_file: A recording that answers the tasks' API requests.
    """

    trust: Literal["exact", "tree"] = "exact"
    registration_delay: float | tuple[float, float] = 0.0
    log_level: str = "Trace"
    host: str = "127.0.0.1"
    https_port: int | None = 0
    http_port: int | None = 0
    mqtt_port: int = 0
    deny_visibly: bool = False
    stable_ca: bool = False
    client_id_template: str = DEFAULT_TEMPLATE
    bare_values: bool = True
    grace_seconds: float = GRACE_SECONDS
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)
    faults: Faults | None = None
    start_time: datetime | None = None
    trace_file: Path | None = None
    record_file: Path | None = None
    replay_file: Path | None = None

    def registration_seconds(self) -> float:
        """Return the registration delay of the next run."""
        if isinstance(self.registration_delay, tuple):
            return random.uniform(*self.registration_delay)  # noqa: S311 - no secret
        return self.registration_delay
