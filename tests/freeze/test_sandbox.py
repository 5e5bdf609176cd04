"""Tests of watched folders: nothing that was done in them goes unseen."""

from __future__ import annotations

import os
import socket
import tempfile
from typing import TYPE_CHECKING

import pytest
from freeze.building import program

from epm_task.freeze.installed import read_installed
from epm_task.freeze.sandbox import (
    open_sandbox,
    snapshot,
    system_environment,
    touched,
    why_unattested,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda f: (f / "new").touch(), "new"),
        (lambda f: (f / "inner" / "old").unlink(), "inner/old"),
        (lambda f: (f / "inner" / "old").write_text("longer"), "inner/old"),
        (lambda f: ((f / "short").touch(), (f / "short").unlink()), ""),
        (lambda f: os.utime(f / "inner" / "old"), "inner/old"),
    ],
)
def test_a_change_is_seen(tmp_path: Path, change: Callable[[Path], object], path: str) -> None:
    """A file that was there for a moment too, by the time of its folder."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "old").touch()
    os.utime(tmp_path / "inner" / "old", (1, 1))
    os.utime(tmp_path, (1, 1))
    before = snapshot([tmp_path])
    assert touched(before, snapshot([tmp_path])) == []
    change(tmp_path)
    assert str(tmp_path / path) in touched(before, snapshot([tmp_path]))


def test_only_windows_gives_a_program_an_environment(tmp_path: Path) -> None:
    """Without `SystemRoot` no program gets random numbers there; nothing personal is among it."""
    environ = {"SYSTEMROOT": "C:\\Windows", "PATHEXT": ".EXE", "USERPROFILE": "x", "PATH": "y"}
    assert system_environment(tmp_path, environ, platform="linux") == {}
    assert system_environment(tmp_path, environ, platform="win32") == {
        "SYSTEMROOT": "C:\\Windows",
        "PATHEXT": ".EXE",
        "TEMP": str(tmp_path),
        "TMP": str(tmp_path),
    }


def test_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of files and folders that nobody may write, which Windows does not remove."""
    place = program(tmp_path, "")
    (place / "inner").mkdir()
    (place / "inner" / "library").touch()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with open_sandbox(read_installed(place), [], {}) as sandbox:
        copied = sandbox.folders[0] / "inner" / "library"
        assert not copied.stat().st_mode & 0o222
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.wine_differs("its table names no process that accepts connections")
def test_a_holder_that_the_system_names_needs_no_certificate() -> None:
    """A task learns by itself that the agent is who it is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert why_unattested(server.getsockname()) == ""


def test_a_holder_that_nobody_names_needs_one() -> None:
    """The reason is told, for the person who writes the job."""
    assert why_unattested(("no address", 1))
