"""Tests of the line that shows progress: what fits into it, and that it disturbs nothing else."""

from __future__ import annotations

import os
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from cli.command import epm_task, task_file
from cli.screen import screen, terminal
from cli.test_output import on_terminal

from epm_task.cli.output import LiveView
from epm_task.cli.progress import ProgressLine, columns_of, duration, facts, line_of
from epm_task.contract.progress import Progress
from epm_task.contract.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.contract.progress import State

pytestmark = pytest.mark.posix("it has no pseudo-terminals")

HALF = Progress(1, 1500, 30.2, "running", 3000, 49.7, 30.2)
OPEN = Progress(2, 12, 65.0, "running", None, 0.5)


@pytest.fixture(autouse=True)
def _kind_of_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def at(number: int, done: int, state: State = "running") -> dict[str, object]:
    """Return the fields of a record."""
    return Progress(number, done, 1.0, state, 10, 2.0, 5.0).fields()


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, "scanning ███████████████░░░░░░░░░░░░░░░  50%  1500 of 3000  49.7/s  30 s left"),
        (50, "scanning █████░░░░░░  50%  1500 of 3000  30 s left"),
        (39, "scanning ███████░░░░░░░  50%  30 s left"),
        (24, "scanning █████░░░░░  50%"),
        (14, "scanning 50%"),
        (10, "scann… 50%"),
        (2, "5…"),
    ],
)
def test_what_fits(columns: int, line: str) -> None:
    """The percentage is the last to go, the rate the first."""
    assert line_of([("scanning", HALF)], columns) == line


def test_no_line_is_too_long() -> None:
    """Whatever is to be shown, in however narrow a terminal; wide characters take two columns."""
    texts = ("", "scanning", "x" * 300, "走査中" * 9, "ünïcödé é́ " * 5)
    for columns in (*range(40), 79, 80, 129):
        for text in texts:
            for bars in ([("outer", HALF), (text, OPEN)], [(text, HALF)], [(text, OPEN)] * 9):
                assert columns_of(line_of(bars, columns)) <= columns


def test_outer_loops_come_first() -> None:
    """With how far they are, where there is room for it."""
    bars = [("folders", HALF), ("hashing", OPEN)]
    assert line_of(bars, 60) == "folders 50% · hashing  12 done  0.5/s  1:05"
    assert line_of(bars, 24) == "hashing  12 done  1:05"


def test_facts() -> None:
    """Numbers are short; nothing is 100 % before its end."""
    many = Progress(1, 12_499, 3.0, "running", 12_500, 3_400_000, 4000)
    assert facts(many) == ["99%", "12.5k of 12.5k", "3.4M/s", "1:06:40 left"]
    assert facts(Progress(1, 0, 0.0, "running", 0)) == ["100%", "0 of 0"]
    assert facts(Progress(1, 0, 7.4)) == ["7 s"]
    assert [duration(seconds) for seconds in (0.4, 59.4, 59.6)] == ["0 s", "59 s", "1:00"]


def test_the_line_stays_the_last_one() -> None:
    """Other lines come above it, whole; at the end of the loop it is gone."""
    with terminal() as term:
        line = ProgressLine(term.stream)
        assert line.record("r", "scan\x1b[2Jning", at(1, 3))
        assert term.seen() == ["scan\\x1b[2Jning ████░░░░░░░░░░  30%  3 of 10  2/s  5 s left"]
        line.write("a record")
        line.write("b" * 100)  # longer than the terminal is wide
        assert term.seen()[:3] == ["a record", "b" * 60, "b" * 40]
        assert term.seen()[3].startswith("scan\\x1b[2Jning ████░")
        assert not line.record("r", "scan\x1b[2Jning", at(1, 10, "done"))
        line.write("the end")
        assert term.seen()[3:] == ["the end", ""]


def test_a_terminal_that_becomes_narrow() -> None:
    """The line is measured each time that it is drawn."""
    with terminal(100) as term:
        line = ProgressLine(term.stream)
        line.record("r", "scanning", at(1, 3))
        assert len(term.seen()[0]) > 60
        line.forget()
        term.resize(40)
        line.record("r", "scanning", at(1, 4))
        assert len(term.seen()[-1]) == 39


def test_loops_of_several_runs() -> None:
    """Those of a run that has ended are forgotten, and few are remembered."""
    with terminal() as term:
        line = ProgressLine(term.stream)
        for number in range(1, 30):
            line.record("killed", f"lost {number}", at(number, 1))
        assert term.seen()[-1].startswith("lost 27 10% · lost 28 10% · lost 29")
        assert len(line._bars) == 8
        line.record("other", "scanning", at(1, 2))
        line.forget(["killed"])
        assert term.seen()[-1].startswith("scanning ██")
        line.forget()
        assert term.seen()[-1] == ""


def test_a_debugger_has_the_terminal() -> None:
    """Nothing is drawn, and nothing is erased; lines are written as ever."""
    with terminal() as term:
        line = ProgressLine(term.stream)
        line.record("r", "scanning", at(1, 3))
        line.lent = lambda: True
        term.stream.write("\n(Pdb) ")
        assert not line.record("r", "scanning", at(1, 4))
        line.write("a record")
        line.forget()
        assert term.seen()[1:] == ["(Pdb) a record", ""]


def test_a_debugger_that_begins_while_it_is_drawn() -> None:
    """What was drawn in that moment is erased at once."""
    answers = iter([False, False, True])
    with terminal() as term:
        line = ProgressLine(term.stream)
        line.lent = lambda: next(answers)
        line.record("r", "scanning", at(1, 3))
        assert term.seen() == [""]


def test_an_encoding_without_blocks() -> None:
    """There are other characters for the bar, and a question mark for what is unknown."""
    with terminal(40, encoding="ascii") as term:
        ProgressLine(term.stream).record("r", "prüfe", at(1, 5))
        assert term.seen() == ["pr?fe ####-----  50%  5 of 10  5 s left"]


def test_no_line_where_it_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a dumb terminal, and in what is none, each record is a line."""
    record, shown = Record("scanning", properties=at(1, 3)), StringIO()
    LiveView(shown).record(record)
    assert "  scanning  done=3  total=10" in shown.getvalue()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal(200) as term:
        LiveView(term.stream).record(record)
        assert term.seen() == [shown.getvalue().rstrip(), ""]


def test_a_reader_that_has_gone() -> None:
    """The run goes on, and nothing more is shown."""
    with terminal() as term:
        view = LiveView(term.stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), term.stream.fileno())  # it cannot be written
        view.record(Record("scanning", properties=at(1, 3)))
        view.say("x")
        assert view._quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), term.stream.fileno())


TASK = '''
import os, time
from epm_task import TaskContext, task

@task
def looping(ctx: TaskContext) -> dict[str, int]:
    """Show progress, and write in every way that there is."""
    for n in ctx.track(range(24), "scanning"):
        time.sleep(0.1)
        ctx.log.info("found", n=n)
        ctx.progress(n, 100, "left")
        os.write(2, b"raw %d\\n" % n)
    return {"n": n}

if __name__ == "__main__":
    looping.main()
'''


def test_a_run_on_a_terminal(tmp_path: Path) -> None:
    """All lines are there, whole; the bar was there, and has gone; there is not one escape."""
    shown = on_terminal("run", task_file(tmp_path, TASK), NO_COLOR="1", TERM="xterm").decode()
    assert "\x1b" not in shown
    assert "█" in shown
    lines = screen(shown, 80)
    assert not [line for line in lines if "█" in line or "░" in line]
    assert [line for line in lines if line.startswith("raw ")] == [f"raw {n}" for n in range(24)]
    assert [f"found  n={n}" in "\n".join(lines) for n in range(24)] == [True] * 24
    assert '{"n":23}' in lines


def test_a_run_in_a_pipe(tmp_path: Path) -> None:
    """Progress comes as lines, those of a loop that goes on, too."""
    ended = epm_task("run", task_file(tmp_path, TASK))
    lines = [line for line in ended.err if "  scanning  " in line]
    assert {line.partition("state=")[2] for line in lines} == {
        "running  progressId=1",
        "done  progressId=1",
    }
