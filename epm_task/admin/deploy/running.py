"""A running program is one whose process was started from its folder in `Jobs/bin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pathlib import Path


def running_in(folder: Path) -> list[int]:
    """Return the PIDs of processes whose executable, or first argument as a script, is in *folder*.

    What this user may not see is left out.
    """
    found = []
    for process in psutil.process_iter(["exe", "cmdline"]):
        words = [process.info["exe"] or "", *(process.info["cmdline"] or [])[:2]]
        if any(word.startswith((f"{folder}/", f"{folder}\\")) for word in words):
            found.append(process.pid)
    return found
