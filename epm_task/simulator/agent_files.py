"""The agent files are what an agent holds open on its root from start to stop."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TextIO

from epm_task.simulator.certificates import open_authority, server_context
from epm_task.simulator.job_store import JobStore
from epm_task.simulator.keeper_logger import KeeperLogger
from epm_task.simulator.recording import Recorder
from epm_task.simulator.run_history import RunHistory
from epm_task.simulator.run_watch import RunWatch
from epm_task.simulator.settings_layer import setting_text
from epm_task.simulator.settings_store import SettingsStore
from epm_task.simulator.start_error import FileUnwritable

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path

    from epm_task.simulator.agent_options import AgentOptions
    from epm_task.simulator.layout import AgentRoot
    from epm_task.simulator.trace import Trace, TraceEvent


class AgentFiles:
    """Stores, logs and certificates of one agent.

    Args:
        root: Its layout; it is created, and held against other agents.
        options: How the agent is started.
        trace: Gets what could not be loaded.
        stack: Closes the files.

    Raises:
        StartError: The root is unusable or in use, or a file is broken.
    """

    def __init__(
        self, root: AgentRoot, options: AgentOptions, trace: Trace, stack: AsyncExitStack
    ) -> None:
        """Open everything."""
        root.create()
        stack.callback(root.lock().close)
        if options.trace_file is not None:
            lines = stack.enter_context(_open(options.trace_file))
            stack.callback(trace.subscribe(lambda event: _write_event(lines, event)))
        compiled_in = {
            plugin: {key: setting_text(value) for key, value in settings.items()}
            for plugin, settings in options.settings.items()
        }
        self.settings: Final = SettingsStore(root.plugins, root.store, compiled_in)
        self.jobs: Final = JobStore(root.jobs)
        for problem in (*self.jobs.problems, *self.settings.problems):
            trace.add("job", "a file was not loaded", reason=str(problem))
        authority, self.certificates = open_authority(root.certificates, stable=options.stable_ca)
        self.tls: Final = server_context(authority)
        logger = KeeperLogger(root.keeper_logger, options.log_level)
        stack.callback(logger.close)
        history = RunHistory(root.runs_log)
        stack.callback(history.close)
        self.watch: Final = RunWatch(trace, logger, history)
        stack.callback(self.watch.close)
        self.recorder: Recorder | None = None
        if options.record_file is not None:
            try:
                self.recorder = Recorder(options.record_file)
            except OSError as error:
                raise FileUnwritable(options.record_file, error.strerror or str(error)) from error
            stack.callback(self.recorder.close)


def _open(path: Path) -> TextIO:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise FileUnwritable(path, error.strerror or str(error)) from error


def _write_event(file: TextIO, event: TraceEvent) -> None:
    file.write(json.dumps(event.document(), ensure_ascii=False, default=str) + "\n")
    file.flush()
