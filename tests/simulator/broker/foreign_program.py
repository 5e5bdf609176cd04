"""What MQTT clients that are not ours need: their programs, and the broker's certificate."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from peers.tls import certificate_pem

if TYPE_CHECKING:
    from pathlib import Path


def needed_program(name: str) -> str:
    """Return the path of a program; skip the test when it is missing, but fail in CI on POSIX."""
    path = shutil.which(name)
    if path is None:
        why = f"{name} is not installed (Debian package mosquitto-clients)"
        if os.environ.get("CI") and os.name == "posix":  # elsewhere no package has it
            pytest.fail(why)
        pytest.skip(why)
    return path


def ca_file(folder: Path) -> Path:
    """Write the certificate that the test's broker is verified against."""
    path = folder / "ca.pem"
    path.write_text(certificate_pem(), encoding="ascii")
    return path
