"""Tests of the steps of a verb: lines, and on a terminal one line that tells of the long ones."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from cli.screen import terminal
from peers.patience import PATIENCE

from epm_task.cli.steps import Steps
from epm_task.contract.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.screen import Terminal

needs_terminal = pytest.mark.posix("it has no pseudo-terminals")


@contextmanager
def on_terminal(monkeypatch: pytest.MonkeyPatch, *, live: bool = True) -> Iterator[Terminal]:
    """Let stderr be a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal(70) as term, redirect_stderr(term.stream):
        yield term


def until(fact: Callable[[], object]) -> None:
    """Wait until it is true."""
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_terminal
def test_a_line_for_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn again each second, though nobody tells anything; at the end it is gone."""
    with on_terminal(monkeypatch) as term:
        with Steps() as steps:
            steps.say("building Scan from a.py\x1b")
            steps.progress(0, None, "building Scan")
            until(lambda: re.fullmatch(r"building Scan  [1-9]\d* s", term.seen()[-1]))
            steps.progress(1, 4, "verifying Scan")
            assert "building" not in term.seen()[-1]
            until(lambda: re.match("verifying Scan █+░+  25%  1 of 4", term.seen()[-1]))
            steps.progress(4, 4, "verifying Scan")
            assert term.seen()[-1] == ""
            steps.progress(0, None, "a third")
            until(lambda: term.seen()[-1].startswith("a third"))
            steps.say("it is over")
            assert term.seen()[-1] == ""
            steps.progress(0, None, "a fourth")
            until(lambda: term.seen()[-1].startswith("a fourth"))
        assert term.seen() == ["building Scan from a.py\\x1b", "it is over", ""]


def test_lines_in_a_pipe() -> None:
    """Steps that can be counted, once in a second; no line tells that time has passed."""
    with redirect_stderr(StringIO()) as shown, Steps() as steps:
        steps.say("a step")
        steps.progress(0, None, "building")
        for done in range(3_000):
            steps.progress(done, 10_000, "verifying")
            time.sleep(0.01)
            if shown.getvalue().count("\n") == 3:
                break
    first, *lines = shown.getvalue().splitlines()
    assert first == "a step"
    assert len(lines) == 2
    for line in lines:
        assert re.fullmatch(r"verifying: \d+%, \d+ of 10k, [\d.]+/s, [\d:]+ left", line)


@needs_terminal
def test_a_terminal_that_another_program_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a signing tool may ask for a PIN nothing is drawn; there are lines."""
    with on_terminal(monkeypatch) as term:
        with Steps(live=False) as steps:
            for done in range(3_000):
                steps.progress(done, 10_000, "signing")
                time.sleep(0.01)
                if term.seen() != [""]:
                    break
        (line, rest) = term.seen()
        assert line.startswith("signing: ")
        assert rest == ""
        assert "\r" not in term.written.replace("\r\n", "")


@needs_terminal
def test_records_of_a_task_that_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its progress is in the line, all else are lines."""
    fields = Progress(1, 3, 1.0, "running", 10, 2.0, 5.0).fields()
    with on_terminal(monkeypatch) as term:
        with Steps() as steps:
            steps.record({"message": "scanning", "runId": "r", "properties": fields})
            steps.record({"message": "found", "runId": "r", "properties": {"n": 1}})
            steps.record({"message": "odd", "properties": "text"})
            *lines, last = term.seen()
            assert [line.split()[0] for line in lines] == ["found", "odd"]
            assert last.startswith("scanning ██")
        assert term.seen()[-1] == ""
