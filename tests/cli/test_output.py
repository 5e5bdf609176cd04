"""Tests of what `epm-task run` shows while a task runs, piped and on a terminal."""

from __future__ import annotations

import io
import json
import os
import re
import select
import stat
import struct
import subprocess
import time
from io import StringIO
from pathlib import Path

import pytest
from cli.command import EXAMPLES, environment, epm_task, line, running, task_file
from peers.patience import PATIENCE
from peers.second_user import NOBODY, needs_second_user

from epm_task.cli.output import LiveView, colorful, harmless, table, write_file
from epm_task.contract.program_text import program_text
from epm_task.contract.record import Record, printable
from epm_task.simulator.trace import TraceEvent

#: Prints what a task can say in every way it has.
TALKER = '''
import os
from pathlib import Path
from epm_task import TaskContext, task

@task
def talker(ctx: TaskContext, *, file: Path = Path("here.txt"), home: str = ""):
    """Talk."""
    ctx.log.info("first_said", number=1, text="two words")
    ctx.log.warning("then_\\x1b[31mred", where=os.getcwd())
    print("a print")
    os.write(2, b"raw \\x1b[31m\\x9b\\x07 end\\n")
    return {"text": file.read_text(), "home": home}

if __name__ == "__main__":
    talker.main()
'''

#: A program that tries to recolour the terminal over both outputs.
PAINTER = """
import os
os.write(1, b"\\x1b[31mresult\\n")
os.write(2, b"\\x1b]0;title\\x07line\\n")
"""

#: What people see of a byte that is no UTF-8: on Windows it is a character of the code page.
BYTE = printable(program_text(b"\x9b"))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


def on_terminal(*words: object, exit_code: int = 0, **env: str) -> bytes:
    """Run `epm-task` with stdout and stderr on a pseudo-terminal; return what it shows."""
    ours, theirs = os.openpty()
    try:
        with subprocess.Popen(
            line(*words), env=environment(env), stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            shown = _read(ours)
            assert process.wait(timeout=PATIENCE) == exit_code
    finally:
        os.close(ours)
    return shown


def _read(terminal: int) -> bytes:
    """Read until the other side is closed, which Linux reports as an error."""
    shown, deadline = b"", time.monotonic() + PATIENCE
    while time.monotonic() < deadline and select.select([terminal], [], [], PATIENCE)[0]:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    return shown


def test_records_come_while_the_task_runs(tmp_path: Path) -> None:
    """A record is shown at once, not at the end."""
    file = task_file(
        tmp_path,
        "from epm_task import TaskContext, task\n\n\n@task\ndef waits(ctx: TaskContext):\n"
        '    """Wait."""\n    ctx.log.info("under_way")\n    ctx.stopping.wait(60)\n\n\n'
        'if __name__ == "__main__":\n    waits.main()\n',
    )
    with running("run", file, scratch=tmp_path) as command:
        command.read_until("under_way")
        assert command.process.poll() is None


def test_what_a_task_says(tmp_path: Path) -> None:
    """Output other than the result goes to stderr; no control character; paths are the caller's."""
    (tmp_path / "here.txt").write_text("found")
    file = task_file(tmp_path, TALKER)
    ended = epm_task("run", file.name, "--", "--home={Home}", cwd=tmp_path)
    assert ended.code == 64
    assert "{Home}" in "\n".join(ended.err)
    ended = epm_task("run", file.name, cwd=tmp_path)
    assert json.loads(ended.out) == {"text": "found", "home": ""}
    assert ended.out.count("\n") == 1
    text = "\n".join(ended.err)
    assert 'Info      first_said  number=1  text="two words"' in text
    assert rf"Warning   then_\x1b[31mred  where={tmp_path}" in text
    assert "a print" in ended.err
    assert f"raw \\x1b[31m{BYTE}\\x07 end" in ended.err
    assert all(line.isprintable() for line in ended.err)


@pytest.mark.posix("pty is POSIX")
def test_colour_on_a_terminal() -> None:
    """The level is coloured on a terminal, and the result is the last-but-one line."""
    shown = on_terminal("run", EXAMPLES / "key_scanner.py", "--", "--root", EXAMPLES)
    assert b"\x1b[36mInfo    \x1b[0m" in shown
    assert shown.splitlines()[-2] == b'{"found":1}'


@pytest.mark.posix("pty is POSIX")
@pytest.mark.parametrize(("columns", "length"), [(40, 40), (200, 80), (10, 22)])
def test_a_rule_fits_its_terminal(
    columns: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes across a narrow terminal, and has no more than its text on one that is too narrow."""
    import fcntl
    import termios

    monkeypatch.setenv("NO_COLOR", "1")
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        LiveView(stream).rule("a\x1b text")
        shown = os.read(ours, 1000).decode().rstrip()
    os.close(ours)
    assert re.fullmatch(r"-- \d\d:\d\d:\d\d a\\x1b text( -+)?", shown)
    assert len(shown) == length


def test_a_rule_in_a_pipe() -> None:
    """It is only its text."""
    stream = StringIO()
    LiveView(stream).rule("changed")
    assert re.fullmatch(r"-- \d\d:\d\d:\d\d changed\n", stream.getvalue())


@pytest.mark.posix("pty is POSIX")
def test_no_color_on_a_terminal() -> None:
    """With NO_COLOR not one escape reaches the terminal."""
    words = ["run", EXAMPLES / "key_scanner.py", "-v", "--", "--root", EXAMPLES]
    shown = on_terminal(*words, NO_COLOR="1")
    assert b"Info      scan_finished" in shown
    assert b"\x1b" not in shown


@pytest.mark.posix("pty is POSIX")
def test_foreign_output_on_a_terminal(tmp_path: Path) -> None:
    """Neither stdout nor stderr of a program can send control characters to the terminal."""
    file = task_file(tmp_path, PAINTER)
    shown = on_terminal("run", file, exit_code=64)  # it is a program without a task
    assert b"\\x1b[31mresult" in shown
    assert b"\\x1b]0;title\\x07line" in shown
    assert b"\x1b" not in shown
    assert epm_task("run", file).out == "\x1b[31mresult\n"  # a pipe gets the bytes as they are


def test_denials_are_shown_once_with_their_count() -> None:
    """Like denials are one line, dimmed on a terminal."""
    stream = Terminal()
    event = TraceEvent(0.0, "mqtt", "dropped", "dropped \x1b[1m", denied=True, reason="not allowed")
    LiveView(stream).denials([event, event, TraceEvent(0.0, "api", "answered", "403", denied=True)])
    assert stream.getvalue().splitlines() == [
        "\x1b[2mdenied, unseen by the task: dropped \\x1b[1m: not allowed (2 times)\x1b[0m",
        "\x1b[2mdenied, unseen by the task: 403\x1b[0m",
    ]


def test_quiet_view_and_closed_stream() -> None:
    """A quiet view writes nothing; a stream whose reader is gone makes the view quiet."""
    stream = io.StringIO()
    quiet = LiveView(stream, quiet=True, verbose=True)
    quiet.say("x")
    quiet.record(Record("x"))
    quiet.line("stderr", b"x")
    quiet.event(TraceEvent(0.0, "api", "answered", "x"))
    assert stream.getvalue() == ""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as gone:
        view = LiveView(gone)
        view.say("x")
        view.say("y")
        view.line("stdout", b"not shown")
        with Path(os.devnull).open("w") as null:
            os.dup2(null.fileno(), gone.fileno())  # so that closing can flush


def test_only_decisions_that_are_wanted() -> None:
    """Decisions are shown with `verbose` only, and records not a second time as decisions."""
    plain, verbose = io.StringIO(), io.StringIO()
    for stream, wanted in ((plain, False), (verbose, True)):
        view = LiveView(stream, verbose=wanted)
        view.event(TraceEvent(0.0, "api", "answered", "asked"))
        view.event(TraceEvent(0.0, "record", "logged", "said"))
    assert (plain.getvalue(), verbose.getvalue()) == ("", "agent: asked\n")


def test_a_file_that_is_not_written_is_always_shown() -> None:
    """Somebody counts on it; of many like ones ten are."""
    stream = io.StringIO()
    view = LiveView(stream)
    for _ in range(1000):
        view.event(TraceEvent(0.0, "file", "not_written", "trace.jsonl is written no longer"))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "agent: trace.jsonl is written no longer"
    assert len(lines) < 500


def test_many_refusals_are_ten_lines_and_a_number() -> None:
    """Any process may have itself refused all the time; what is not refused is always shown."""
    stream = io.StringIO()
    view = LiveView(stream, verbose=True)
    for n in range(1000):
        view.event(TraceEvent(0.0, "api", "answered", f"GET /{n} -> 403", denied=True))
        view.event(TraceEvent(0.0, "api", "answered", "GET /x -> 404", facts={"status": 404}))
        view.event(TraceEvent(0.0, "mqtt", "closed", "a connection was closed"))
    for _ in range(20):
        view.event(TraceEvent(0.0, "api", "answered", "GET / -> 200", facts={"status": 200}))
    view.settle()
    lines = stream.getvalue().splitlines()
    assert lines.count("agent: GET / -> 200") == 20
    counts = [int(line.split()[2]) for line in lines if line.startswith("agent: and ")]
    shown = len(lines) - 20 - len(counts)
    assert shown + sum(counts) == 3000
    assert shown < 3000 / 2  # ten of each kind in each second
    assert {line.partition(" more ")[2] for line in lines if line.startswith("agent: and ")} == {
        "(api answered)",
        "(mqtt closed)",
    }


def test_harmless() -> None:
    """Tabs stay, the line's end goes, all other control characters become escapes."""
    assert harmless(b"a\tb\x1b[0m\x9b\r\n") == f"a\tb\\x1b[0m{BYTE}"


def test_columns_are_aligned_and_control_characters_escaped() -> None:
    """No line ends with blanks."""
    shown = table(("A", "LONGER"), [("x" * 3, 1), ("\x1b[2J", "")])
    assert shown.splitlines() == ["A        LONGER", "xxx      1", r"\x1b[2J"]


def test_a_table_without_rows_has_its_heads() -> None:
    """So that people see what would be there."""
    assert table(("A", "B"), []) == "A  B"


def test_a_file_has_no_colours() -> None:
    """Only a terminal shows them."""
    assert not colorful(StringIO())


@pytest.mark.posix("a pseudo terminal is POSIX")
def test_a_terminal_has_colours_unless_its_user_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty NO_COLOR is not an objection, as no-color.org says."""
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setenv("NO_COLOR", "1")
        assert not colorful(terminal)
        monkeypatch.setenv("NO_COLOR", "")
        assert colorful(terminal)
    os.close(ours)


@pytest.mark.posix("links are POSIX")
def test_document_behind_links(tmp_path: Path) -> None:
    """The links stay, and the file that they lead to keeps its place and its mode."""
    (tmp_path / "real").mkdir()
    target, link, missing = (tmp_path / name for name in ("real/job.json", "job.json", "new.json"))
    target.write_text("old")
    target.chmod(0o640)
    (tmp_path / "real" / "second.json").symlink_to("job.json")
    link.symlink_to(Path("real", "second.json"))
    missing.symlink_to(Path("real", "new.json"))
    write_file(link, b"new")
    write_file(missing, b"made")
    assert (link.is_symlink(), missing.is_symlink()) == (True, True)
    assert (target.read_bytes(), (tmp_path / "real" / "new.json").read_bytes()) == (b"new", b"made")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    loop = tmp_path / "loop.json"
    loop.symlink_to(loop)
    write_file(loop, b"new")
    assert loop.read_bytes() == b"new"


@needs_second_user
def test_link_of_another_user_is_replaced(tmp_path: Path) -> None:
    """It could lead root to any file of the system."""
    victim, link = tmp_path / "victim", tmp_path / "job.json"
    victim.write_text("kept")
    link.symlink_to(victim)
    os.lchown(link, NOBODY, NOBODY)
    write_file(link, b"new")
    assert (victim.read_text(), link.read_text()) == ("kept", "new")
