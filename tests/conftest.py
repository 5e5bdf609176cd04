"""What all tests have: `pytester`, for the tests of the pytest plugin."""

from __future__ import annotations

pytest_plugins = ["pytester"]
