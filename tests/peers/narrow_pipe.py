"""A pipe that holds little, as the one to a reader that pauses."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import IO

#: What a pipe of Windows holds by default.
_WINDOWS_BYTES = 4096


def narrow_pipe() -> tuple[IO[bytes], IO[bytes]]:
    """Return what reads from it and what writes to it; nobody can make it larger."""
    if os.name == "posix":  # which a pipe can be
        reader, writer = (end.detach() for end in socket.socketpair())
    else:
        reader, writer = os.pipe()
    return os.fdopen(reader, "rb", buffering=0), os.fdopen(writer, "wb", buffering=0)


def fill(writer: IO[bytes]) -> None:
    """Write as much as it holds."""
    if os.name != "posix":
        writer.write(b"x" * _WINDOWS_BYTES)
        return
    os.set_blocking(writer.fileno(), False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer.fileno(), b"x" * 4096)
    os.set_blocking(writer.fileno(), True)
