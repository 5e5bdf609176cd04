"""Tests of colours on a terminal."""

from __future__ import annotations

import os
import sys
from io import StringIO

import pytest

from epm_task.cli.terminal import colorful


def test_a_file_has_no_colours() -> None:
    """Only a terminal shows them."""
    assert not colorful(StringIO())


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal is POSIX")
def test_a_terminal_has_colours_unless_its_user_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty NO_COLOR is no objection, as no-color.org says."""
    import pty

    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setenv("NO_COLOR", "1")
        assert not colorful(terminal)
        monkeypatch.setenv("NO_COLOR", "")
        assert colorful(terminal)
    os.close(ours)
