"""Asks for settings of its own plugin."""

from __future__ import annotations

from pydantic import BaseModel

from epm_task import TaskSettings, task


class Scan(BaseModel):
    """Settings below `scan`."""

    depth: int


class ScannerSettings(TaskSettings, plugin="KeyScanner"):
    """Settings of the plugin."""

    max_bytes: int
    scan: Scan


@task(job_id="key-scanner")
def typed(settings: ScannerSettings) -> dict[str, int]:
    """Return what was read."""
    return {"max_bytes": settings.max_bytes, "depth": settings.scan.depth}


if __name__ == "__main__":
    typed.main()
