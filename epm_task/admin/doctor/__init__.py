"""Find out from outside why a task does not run, as a support engineer would; change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from epm_task.admin.doctor import check_agent, check_binary, check_job
from epm_task.admin.doctor.finding import Finding, problem, unknown
from epm_task.admin.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.finding import Setup

#: From the ground up: a later check makes sense when the earlier ones are fine.
_CHECKS: Final = {
    "agent root": check_agent.check_root,
    "port": check_agent.check_port,
    "TLS": check_agent.check_tls,
    "credential": check_agent.check_credential,
    "health": check_agent.check_health,
    "Plugin tier": check_agent.check_plugin_tier,
    "Admin tier": check_agent.check_admin_tier,
    "job": check_job.check_job,
    "drift": check_job.check_drift,
    "binary": check_binary.check_binaries,
    "allowed list": check_binary.check_listed,
    "topics": check_job.check_topics,
    "plugin": check_job.check_plugins,
    "last run": check_job.check_last_run,
    "log": check_job.check_log,
    "broker": check_agent.check_broker,
}


def examine(setup: Setup) -> Iterator[Finding]:
    """Yield what each check sees, as soon as it is seen; nothing is changed.

    Not visible from outside at all: how fast the agent registers a process, which settings a policy
    has merged, and whether the broker trusts a binary by its signature.
    """
    for name, check in _CHECKS.items():
        try:
            yield from check(setup)
        except AdminError as error:
            yield problem(name, error.what, error.why, fix=error.fix)
        except OSError as error:
            what = f"{error.filename or 'what it needs'} cannot be read by this user"
            yield unknown(name, what, error.strerror or str(error), fix="run this as root")
