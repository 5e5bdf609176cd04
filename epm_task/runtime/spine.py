"""The spine is one run from argv to exit code, each noun in its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.runtime.agent.client import AgentClient
from epm_task.runtime.agent.tls import client_context
from epm_task.runtime.context import TaskContext
from epm_task.runtime.ending import arm, ending, finish
from epm_task.runtime.invocation import check_surroundings, read_invocation
from epm_task.runtime.log.pipe import RunLog
from epm_task.runtime.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from epm_task.runtime.stop import Stop
    from epm_task.runtime.streams import StandardStreams
    from epm_task.runtime.task import Task


def run(
    task: Task[..., object],
    argv: Sequence[str],
    environ: Mapping[str, str],
    streams: StandardStreams,
    stop: Stop,
) -> Outcome:
    """Run *task* once and return how it ended; whatever happens becomes an outcome."""
    run_log = None
    try:
        with stop.interruptible():
            invocation = read_invocation(task.parameters, argv, environ)
            base_url = check_surroundings(invocation, task.file, argv)
            run_log = RunLog(task.declaration, invocation, streams)
            arm(stop, task.declaration, invocation, run_log)
            tls = client_context(invocation.ca_file)
            with AgentClient(base_url, tls) as agent:
                registration = agent.register(invocation.registration_timeout)
                settings = task.handler.read_settings(agent, registration)
                run_log.connect(registration, settings, tls)
                context = TaskContext(task.declaration, invocation, run_log, agent, stop)
                outcome = Outcome.of_result(
                    task.handler.call(context, settings, invocation.arguments, stop)
                )
    except BaseException as error:  # noqa: BLE001  # the one ladder; errors carry their exit code
        outcome = ending(error, run_log)
    return finish(outcome, run_log, stop)
