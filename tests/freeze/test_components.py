"""Tests of the components: the distributions of the files inside, with licence and version."""

from __future__ import annotations

from importlib.metadata import version

from epm_task import __version__
from epm_task.freeze.components import components_of, python_version


def test_files_lead_to_their_distributions():
    """Sorted, ours included; compiled or not; what belongs to nobody counts for nothing."""
    names = ["httpx/__init__.pyc", "structlog/dev.py", "json/__init__.pyc", "my_task.pyc"]
    found = components_of(names)
    assert [(one.name, one.version) for one in found] == [
        ("epm-task", __version__),
        ("httpx", version("httpx")),
        ("structlog", version("structlog")),
    ]
    assert all(one.licence for one in found)
    assert python_version().count(".") == 2
