"""Trust in the peers by their certificate, as `--ca-file` gives it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from peers.tls import certificate_pem

from epm_task.runtime.agent.tls import client_context

if TYPE_CHECKING:
    import ssl


@functools.cache
def trusting_context() -> ssl.SSLContext:
    """Return a context for tests that are not about who holds a socket: Wine tells it slowly."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ca.pem")
        path.write_text(certificate_pem(), "utf-8")
        return client_context(path)
