"""Whether Windows here is Wine, which names no process that listens on a port."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from peers.tls import certificate_pem

#: Wine says with a function of its own that it is not Windows.
WINE: Final = os.name == "nt" and hasattr(ctypes.CDLL("ntdll"), "wine_get_version")


def attested() -> list[str]:
    """Return the arguments with which a task takes a peer for its agent: under Wine its CA file."""
    return [f"--ca-file={_ca_file()}"] if WINE else []


@functools.cache
def _ca_file() -> Path:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder, "ca.pem")
    file.write_text(certificate_pem())
    return file
