"""Tests of the standard streams, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from peers.closed_streams import run_without
from peers.narrow_pipe import fill, narrow_pipe
from peers.patience import PATIENCE
from peers.task_process import poll

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.posix("descriptors are POSIX")

#: What each program begins with; `tell` leaves facts in the file that is the first argument.
PREPARED = """
import json, os, subprocess, sys, time
def tell(**facts):
    with open(sys.argv[1], "w") as file:
        json.dump(facts, file)
from epm_task.runtime.streams import StandardStreams
streams = StandardStreams()
"""


def run(
    code: str, tmp_path: Path, closed: str = "", environment: dict[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[bytes], dict[str, Any]]:
    """Run *code* after the preparation; return how it ended, and what it told."""
    told = tmp_path / "told.json"
    told.write_text("{}")
    command = [sys.executable, "-c", PREPARED + code, told]
    ended = run_without(closed, command, env=os.environ | (environment or {}))
    return ended, json.loads(told.read_text())


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_opened(tmp_path: Path, closed: str) -> None:
    """No file that is opened later becomes a standard stream, here or in a child."""
    code = """
opened = os.open(os.devnull, os.O_RDONLY)
print("print"); print("error", file=sys.stderr)
results = [streams.write_stdout(b"{}\\n"), streams.write_stderr(b"line\\n")]
child = subprocess.run([sys.executable, "-c", "import os; [os.fstat(n) for n in range(3)]"])
tell(opened=opened, results=results, child=child.returncode)
"""
    ended, told = run(code, tmp_path, closed)
    assert (ended.returncode, told["results"]) == (0, [True, True]), ended.stderr
    assert (told["opened"] > 2, told["child"]) == (True, 0)
    assert ended.stdout == (b"" if ">&-" in closed.split() else b"{}\n")
    written = b"" if "2>&-" in closed else b"print\nerror\nline\n"
    assert ended.stderr == written


@posix
def test_stdout_is_reserved(tmp_path: Path) -> None:
    """Descriptor 1 leads to stderr for this process and for its children."""
    code = """
os.write(1, b"fd\\n")
print("print")
subprocess.run(["sh", "-c", "echo child; echo other >&3"], close_fds=False)
streams.write_stdout(b'{"a":1}\\n')
"""
    ended, _ = run(code, tmp_path)
    assert ended.stdout == b'{"a":1}\n'
    assert ended.stderr.startswith(b"fd\nprint\nchild\n")
    assert b"other\n" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_text_is_utf_8(tmp_path: Path, encoding: str) -> None:
    """Whatever the environment says, text is UTF-8, and what has no form in it is escaped."""
    code = 'print("ä€\\udcff"); print("ö\\ud800", file=sys.stderr)'
    ended, _ = run(code, tmp_path, environment={"PYTHONIOENCODING": encoding, "LC_ALL": "C"})
    assert ended.stderr == "ä€\\udcff\nö\\ud800\n".encode()


def test_text_before_the_reservation_comes_first() -> None:
    """What was printed before is not lost and keeps its place."""
    ended = subprocess.run(
        [sys.executable, "-c", f"print('early', end='')\n{PREPARED}\nprint('late')", os.devnull],
        capture_output=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == (b"early", b"late\n")


def test_line_begins_on_a_line_of_its_own(tmp_path: Path) -> None:
    """Text without a line end does not spoil the record after it."""
    code = """
print("noise", end="", flush=True)
streams.write_stderr(b"one\\n")
streams.write_stderr(b"two\\n")
print("more")
streams.write_stderr(b"three\\n")
"""
    ended, _ = run(code, tmp_path)
    assert ended.stderr == b"noise\none\ntwo\nmore\nthree\n"


PAUSED = """
times, results = [], []
for count in range(4):
    started = time.monotonic()
    results.append(streams.write_stderr(b"x" * 200_000 + b"\\n", record=True))
    times.append(time.monotonic() - started)
streams.end_by(0)
tell(times=times, results=results, lost=streams.finish())
"""


def _run_with_stderr(writer: int, code: str, told: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", PREPARED + code, str(told)]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=writer, timeout=PATIENCE, check=False)
    found: dict[str, Any] = json.loads(told.read_text())
    return found


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "not read"])
def test_reader_that_takes_nothing_is_waited_for_once(tmp_path: Path, *, closed: bool) -> None:
    """It delays one line by a second and no later one, and what it has not taken is counted."""
    reader, writer = narrow_pipe()
    with reader, writer:
        if closed:
            reader.close()
        told = _run_with_stderr(writer.fileno(), PAUSED, tmp_path / "told.json")
    assert told["results"] == [False] * 4
    assert min(told["times"][1:]) < 0.5
    assert told["lost"] == 4


def test_what_waits_for_the_reader_is_bounded(tmp_path: Path) -> None:
    """More than 8 MiB do not wait in memory: what is beyond them is counted as lost at once."""
    code = """
results = [streams.write_stderr(b"x" * 200_000 + b"\\n", record=True) for _ in range(60)]
tell(waiting=streams._waiting_bytes, lost=streams._lost)
streams.end_by(0)
os._exit(0)
"""
    reader, writer = narrow_pipe()
    with reader, writer:
        told = _run_with_stderr(writer.fileno(), code, tmp_path / "told.json")
    assert 8_000_000 < told["waiting"] <= 8 * 1024 * 1024
    assert told["lost"] > 10  # some 41 have room


IN_A_THREAD = """
import threading
def write():
    for count in range(3):
        streams.write_stderr(b"x" * 1_000_000 + b"\\n", record=True)
threading.Thread(target=write, daemon=True).start()
time.sleep(0.5)
streams.end_by(time.monotonic())
tell(lost=streams.finish())
os._exit(0)
"""


def test_line_that_another_thread_writes_is_counted(tmp_path: Path) -> None:
    """At the end, a line is written or counted, whoever has it in hand."""
    reader, writer = narrow_pipe()
    with reader, writer:
        told = _run_with_stderr(writer.fileno(), IN_A_THREAD, tmp_path / "told.json")
    assert told["lost"] in {1, 2, 3}  # as many as the thread had begun with by then


def test_no_record_is_accepted_after_the_count(tmp_path: Path) -> None:
    """A call of another thread returns before it, and its line is written, or never."""
    code = """
import threading
accepted = 0
def write():
    global accepted
    while True:
        streams.write_stderr(b"%d\\n" % accepted, record=True)
        accepted += 1
threading.Thread(target=write, daemon=True).start()
time.sleep(0.1)
streams.end_by(time.monotonic() + 60)
lost = streams.finish()
counted = accepted
time.sleep(0.2)
tell(accepted=accepted, counted=counted, lost=lost)
streams.write_last(b"last\\n")
os._exit(0)
"""
    ended, told = run(code, tmp_path)
    assert told["lost"] == 0
    lines = ended.stderr.splitlines()
    assert lines.pop() == b"last"
    # One more when a call had not returned yet.
    assert told["accepted"] <= told["counted"] + 1
    assert [*range(len(lines))] == [*map(int, lines)]
    assert len(lines) in {told["accepted"], told["accepted"] + 1}


READ_LATE = """
for count in range(30):
    streams.write_stderr(b"%03d" % count * 3000 + b"\\n", record=True)
    if count % 10 == 0:
        print("printed")
streams.end_by(time.monotonic() + float(sys.argv[2]))
lost = streams.finish()
streams.write_last(b"last\\n")
tell(lost=lost)
"""


@pytest.mark.parametrize("pause", [0.05, 1.5])
def test_reader_that_pauses_gets_everything(tmp_path: Path, pause: float) -> None:
    """Lines that it does not take wait for it, whole and in their order."""
    told = tmp_path / "told.json"
    program = PREPARED + READ_LATE.replace('print("printed")', "pass" if pause > 1 else "print()")
    command = [sys.executable, "-c", program, str(told), str(PATIENCE)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        time.sleep(pause)
        lines = process.stderr.read().splitlines()
    wanted = [b"%03d" % count * 3000 for count in range(30)] + [b"last"]
    assert [line for line in lines if line] == wanted
    assert json.loads(told.read_text()) == {"lost": 0}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can make a pipe larger")
def test_pipe_is_made_larger_when_time_is_over(tmp_path: Path) -> None:
    """What waits is written all the same, the rest of a line that has begun first."""
    told = tmp_path / "told.json"
    program = PREPARED + READ_LATE.replace('print("printed")', "pass")
    command = [sys.executable, "-c", program, str(told), "0"]
    reader, writer = os.pipe()
    subprocess.run(command, stderr=writer, check=True, timeout=PATIENCE)
    os.close(writer)
    with os.fdopen(reader, "rb") as stderr:
        lines = stderr.read().splitlines()
    assert json.loads(told.read_text()) == {"lost": 0}
    assert lines == [b"%03d" % count * 3000 for count in range(30)] + [b"last"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can make a pipe larger")
def test_line_that_has_begun_is_completed(tmp_path: Path) -> None:
    """When more waits than the largest pipe takes, records are lost, and none is torn."""
    told = tmp_path / "told.json"
    program = PREPARED + READ_LATE.replace('print("printed")', "pass").replace(
        "range(30)", "range(300)"
    )
    command = [sys.executable, "-c", program, str(told), "0"]
    reader, writer = os.pipe()
    subprocess.run(command, stderr=writer, check=True, timeout=PATIENCE)
    os.close(writer)
    with os.fdopen(reader, "rb") as stderr:
        *lines, last = stderr.read().splitlines()
    lost = json.loads(told.read_text())["lost"]
    assert 0 < lost < 300
    assert last == b"last"
    assert len(lines) in {300 - lost, 301 - lost}
    assert {len(line) for line in lines} == {9000}


def test_print_waits_for_the_line_that_has_begun_alone(tmp_path: Path) -> None:
    """The lines after it may wait on; what is printed stands between two of them."""
    code = """
streams.write_stderr(b"x" * 200_000 + b"\\n", record=True)
for count in range(3):
    streams.write_stderr(b"waiting %d\\n" % count, record=True)
streams.end_by(time.monotonic() + 60)
tell()
print("printed")
streams.finish()
"""
    told = tmp_path / "told.json"
    reader, writer = narrow_pipe()
    with (
        reader,
        subprocess.Popen(
            [sys.executable, "-c", PREPARED + code, str(told)], stderr=writer.fileno()
        ),
    ):
        writer.close()
        poll(told.exists)
        lines = reader.read().splitlines()
    assert lines == [b"x" * 200_000, b"printed", b"waiting 0", b"waiting 1", b"waiting 2"]


def test_nothing_comes_after_the_last_line(tmp_path: Path) -> None:
    """Threads that print or write records cannot spoil the end."""
    code = """
import threading
def go_on():
    while True:
        print("noise")
        streams.write_stderr(b"record\\n")
threading.Thread(target=go_on, daemon=True).start()
time.sleep(0.1)
streams.end_by(time.monotonic() + 60)
streams.finish()
streams.write_last(b"last\\n")
time.sleep(0.2)
tell()
os._exit(0)
"""
    ended, _ = run(code, tmp_path)
    assert ended.stderr.endswith(b"\nlast\n")


@posix
def test_pipe_that_became_non_blocking_is_written_whole(tmp_path: Path) -> None:
    """Another owner of the pipe may have set O_NONBLOCK; nothing is torn."""
    code = """
os.set_blocking(2, False)
for _ in range(20):
    streams.write_stderr(b"x" * 50_000 + b"\\n")
"""
    ended, _ = run(code, tmp_path)
    assert ended.stderr == (b"x" * 50_000 + b"\n") * 20


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "full"])
def test_result_that_is_not_taken_is_told(tmp_path: Path, *, closed: bool) -> None:
    """False, in bounded time, and nothing of it is written."""
    reader, writer = narrow_pipe()
    fill(writer)
    if closed:
        reader.close()
    code = """
streams.end_by(time.monotonic() + 0.1)
tell(result=streams.write_stdout(b'{"a":1}\\n'))
"""
    told = tmp_path / "told.json"
    command = [sys.executable, "-c", PREPARED + code, str(told)]
    with writer:
        subprocess.run(command, stdout=writer.fileno(), timeout=PATIENCE, check=True)
    assert json.loads(told.read_text()) == {"result": False}
    if not closed:
        with reader:
            assert b"{" not in reader.read()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can make a pipe larger")
def test_result_is_whole_for_a_reader_that_comes_late(tmp_path: Path) -> None:
    """A pipe of 4 KiB, and nobody who reads before the process has ended."""
    import fcntl  # POSIX only

    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    code = "streams.end_by(0); tell(result=streams.write_stdout(b'x' * 65_536))"
    told = tmp_path / "told.json"
    command = [sys.executable, "-c", PREPARED + code, str(told)]
    subprocess.run(command, stdout=writer, timeout=PATIENCE, check=True)
    os.close(writer)
    with os.fdopen(reader, "rb") as stdout:
        assert (stdout.read(), json.loads(told.read_text())) == (b"x" * 65_536, {"result": True})


@posix
def test_forked_child_keeps_writing(tmp_path: Path) -> None:
    """A child that was forked while the lock was held writes all the same."""
    code = """
import warnings; warnings.simplefilter("ignore")
with streams._lock:
    child = os.fork()
    if not child:
        os._exit(0 if streams.write_stderr(b"child\\n") else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
tell(code=code, parent=streams.write_stderr(b"parent\\n"))
"""
    ended, told = run(code, tmp_path)
    assert told == {"code": 0, "parent": True}
    assert ended.stderr == b"child\nparent\n"
