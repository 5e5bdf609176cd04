"""Tests of watched folders: nothing that was done in them goes unseen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from epm_task.freeze.sandbox import snapshot, system_environment, touched

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
