"""Says which modules a run with a settings model has loaded by its end."""

from __future__ import annotations

import sys

from epm_task import TaskSettings, task


class System(TaskSettings):
    """The system's own settings."""

    port: int = 0


@task(job_id="key-scanner")
def typed_modules(settings: System) -> None:
    """Name the modules on stderr."""
    print(settings.port, *sorted(sys.modules), file=sys.stderr)


if __name__ == "__main__":
    typed_modules.main()
