"""What the tests of freezing share."""

from __future__ import annotations

import pytest
from freeze.building import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The folder in which programs are built once."""
    return Workshop(tmp_path_factory)
