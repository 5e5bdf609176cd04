"""What the tests of freezing share."""

from __future__ import annotations

import pytest
from freeze.building import BuildFolder


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> BuildFolder:
    """The folder in which programs are built once."""
    return BuildFolder(tmp_path_factory)
