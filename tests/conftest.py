"""What all tests have: `pytester`, for those of the pytest plugin, workers, a time zone."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Schedules are in the machine's local time, and tests of them know which that is.
os.environ["TZ"] = "UTC"
if hasattr(time, "tzset"):
    time.tzset()

pytest_plugins = ["pytester"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return two workers for each processor: the tests wait for half of their time."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture
def unmeasured_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no coverage run in the processes of a test: it loads modules, and may wait for a lock."""
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the time zone of this process, spelled as POSIX has it: rules and all, without a file."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system's time zone is not set by the environment")

    def use(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()
