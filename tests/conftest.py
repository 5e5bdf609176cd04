"""What all tests have: `pytester`, for the tests of the pytest plugin, and enough workers."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["pytester"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return two workers for each processor: the tests wait for half of their time."""
    return 2 * (os.cpu_count() or 1)
