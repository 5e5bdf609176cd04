"""Tests of the standard streams, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are POSIX")

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
    code: str, tmp_path: Path, *redirections: str, environment: dict[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[bytes], dict[str, Any]]:
    """Run *code* after the preparation; return how it ended, and what it told."""
    told = tmp_path / "told.json"
    told.write_text("{}")
    command = f'exec "$0" -c "$1" "$2" {" ".join(redirections)}'
    ended = subprocess.run(
        ["sh", "-c", command, sys.executable, PREPARED + code, told],
        capture_output=True,
        env=os.environ | (environment or {}),
        timeout=PATIENCE,
        check=False,
    )
    return ended, json.loads(told.read_text())


@pytest.mark.parametrize(
    "redirections", [("<&-",), (">&-",), ("2>&-",), (">&-", "2>&-"), ("<&-", ">&-", "2>&-")]
)
def test_closed_descriptors_are_opened(tmp_path: Path, redirections: tuple[str, ...]) -> None:
    """No file that is opened later becomes a standard stream, here or in a child."""
    code = """
opened = os.open(os.devnull, os.O_RDONLY)
print("print"); print("error", file=sys.stderr)
results = [streams.write_stdout(b"{}\\n"), streams.write_stderr(b"line\\n")]
child = subprocess.run([sys.executable, "-c", "import os; [os.fstat(n) for n in range(3)]"])
tell(opened=opened, results=results, child=child.returncode)
"""
    ended, told = run(code, tmp_path, *redirections)
    assert (ended.returncode, told["results"]) == (0, [True, True]), ended.stderr
    assert (told["opened"] > 2, told["child"]) == (True, 0)
    assert ended.stdout == (b"" if ">&-" in redirections else b"{}\n")
    written = b"" if "2>&-" in redirections else b"print\nerror\nline\n"
    assert ended.stderr == written


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


DEAD = """
times, results = [], []
for count in range(4):
    started = time.monotonic()
    results.append(streams.write_stderr(b"x" * 200_000 + b"\\n"))
    times.append(time.monotonic() - started)
tell(times=times, results=results)
"""


def _run_with_stderr(writer: int, code: str, told: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", PREPARED + code, str(told)]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=writer, timeout=PATIENCE, check=False)
    found: dict[str, Any] = json.loads(told.read_text())
    return found


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "not read"])
def test_dead_stderr_is_waited_for_once(tmp_path: Path, *, closed: bool) -> None:
    """A reader that is gone, or takes nothing, delays one write by half a second, no later one."""
    reader, writer = os.pipe()
    if closed:
        os.close(reader)
    told = _run_with_stderr(writer, DEAD, tmp_path / "told.json")
    os.close(writer)
    if not closed:
        os.close(reader)
    assert told["results"] == [False] * 4
    assert min(told["times"][1:]) < 0.5


def test_slow_reader_gets_everything(tmp_path: Path) -> None:
    """A reader that pauses for less than half a second loses nothing."""
    code = "tell(result=streams.write_stderr(b'x' * 300_000 + b'\\n'))"
    told = tmp_path / "told.json"
    command = [sys.executable, "-c", PREPARED + code, str(told)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        taken = b""
        while data := os.read(process.stderr.fileno(), 65_536):
            taken += data
            time.sleep(0.05)
    assert (len(taken), json.loads(told.read_text())) == (300_001, {"result": True})


def test_pipe_that_became_non_blocking_is_written_whole(tmp_path: Path) -> None:
    """Another owner of the pipe may have set O_NONBLOCK; nothing is torn."""
    code = """
os.set_blocking(2, False)
for _ in range(20):
    streams.write_stderr(b"x" * 50_000 + b"\\n")
"""
    ended, _ = run(code, tmp_path)
    assert ended.stderr == (b"x" * 50_000 + b"\n") * 20


def test_stdout_that_nobody_reads_is_told(tmp_path: Path) -> None:
    """A result that is not taken is False, in bounded time."""
    reader, writer = os.pipe()
    code = "tell(result=streams.write_stdout(b'x' * 70_000 + b'\\n'))"
    told = tmp_path / "told.json"
    command = [sys.executable, "-c", PREPARED + code, str(told)]
    subprocess.run(command, stdout=writer, timeout=PATIENCE, check=True)
    os.close(reader)
    os.close(writer)
    assert json.loads(told.read_text()) == {"result": False}


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
