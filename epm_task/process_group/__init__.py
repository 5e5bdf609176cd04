"""Start a process so that it and all that it starts can be ended together, on each system."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from epm_task.process_group.windows import ProcessGroup, has_ended, start_options
else:
    from epm_task.process_group.posix import ProcessGroup, has_ended, start_options

__all__ = ["ProcessGroup", "has_ended", "start_options"]
