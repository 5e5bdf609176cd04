"""Create the folders of an agent's root, keep a second agent off it, and note its ports there."""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Any, Final

from epm_task.contract.json_text import write_json
from epm_task.contract.layout import HTTP_PORT_KEY, HTTPS_PORT_KEY, PORTS_SECTION
from epm_task.errors import UnsafeConfiguration
from epm_task.files import try_lock, write_atomically
from epm_task.simulator.start_error import (
    RootHeld,
    RootUnsafe,
    RootUnusable,
    UnusableFile,
    read_object,
)
from epm_task.trust import check_folder, open_to_write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from epm_task.contract.layout import AgentRoot


#: Whatever the umask is, nobody else may write there; keys and records are for their owner only.
_FOLDER_MODE: Final = 0o755
_PRIVATE_MODE: Final = 0o700


def create_root(root: AgentRoot) -> None:
    """Create the folders that are missing.

    Raises:
        RootUnsafe: Another user could replace what the agent runs or reads.
        RootUnusable: A folder cannot be created, or the root cannot be written.
    """
    try:
        for folder in (root.path, root.jobs, root.jobs_bin, root.plugins):
            check_folder(folder, make=_FOLDER_MODE)
        for folder in (root.certificates, root.logs):
            check_folder(folder, make=_PRIVATE_MODE)
        os.close(open_to_write(root.lock_file))
    except UnsafeConfiguration as error:
        raise RootUnsafe(error.what, error.why, error.fix) from error
    except OSError as error:
        raise RootUnusable(root.path, error.strerror or str(error)) from error


@contextlib.contextmanager
def hold_root(root: AgentRoot) -> Iterator[None]:
    """Hold a root for this process until the end of the block, or until the process ends.

    Raises:
        RootHeld: Another agent has it.
        RootUnsafe: The lock file is a link, or could be replaced by another user.
        RootUnusable: The lock file cannot be opened.
    """
    try:
        file: IO[str] = os.fdopen(open_to_write(root.lock_file), "r+", encoding="ascii")
    except UnsafeConfiguration as error:
        raise RootUnsafe(error.what, error.why, error.fix) from error
    except OSError as error:
        raise RootUnusable(root.path, error.strerror or str(error)) from error
    with file:
        if not try_lock(file.fileno()):
            raise RootHeld(root.path, _pid_in(file))
        _write(file, str(os.getpid()))
        try:
            yield
        finally:
            _write(file, "")


def _write(file: IO[str], text: str) -> None:
    # The root itself may be gone by now: a test, or its user, removed it under a running agent.
    with contextlib.suppress(OSError):
        file.seek(0)
        file.truncate()
        file.write(text)
        file.flush()


def _pid_in(file: IO[str]) -> int | None:
    try:
        text = file.read().strip()
    except OSError:  # Windows refuses to read a locked range
        return None
    return int(text) if text.isdigit() else None


def read_ports(path: Path) -> tuple[int, int]:
    """Return the HTTPS and the HTTP port that the file names; 0 for one that it does not.

    Raises:
        UnusableFile: The file is broken; it is not overwritten.
    """
    _, ports = _settings_of(path)
    return _port(path, ports.get(HTTPS_PORT_KEY)), _port(path, ports.get(HTTP_PORT_KEY))


def write_ports(path: Path, https_port: int, http_port: int | None) -> None:
    """Write the ports that are in use; everything else in the file stays.

    Raises:
        UnusableFile: The file is broken; it is not overwritten.
    """
    document, ports = _settings_of(path)
    ports[HTTPS_PORT_KEY] = https_port
    if http_port is not None:
        ports[HTTP_PORT_KEY] = http_port
    write_atomically(path, write_json({**document, PORTS_SECTION: ports}))


def _settings_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    document = read_object(path) if path.exists() else {}
    section = document.get(PORTS_SECTION)
    return document, section if isinstance(section, dict) else {}


def _port(path: Path, value: object) -> int:
    if value is None:
        return 0
    text = str(value)
    if not text.isdecimal() or int(text) > 65_535:
        raise UnusableFile(path, f"{PORTS_SECTION}: {value!r} is not a port")
    return int(text)
