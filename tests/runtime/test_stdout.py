"""Stdout carries one JSON line or nothing, whatever the handler writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from peers.closed_streams import run_without
from peers.mqtt_peer import MqttPeer
from peers.narrow_pipe import narrow_pipe
from peers.patience import PATIENCE
from peers.task_process import PROGRAMS, Ended, agent_with, assert_failed, run_task

from epm_task.runtime.outcome import parse_result

if TYPE_CHECKING:
    from pathlib import Path

    from peers.http_peer import HttpPeer

LINE = b'{"a":"\\u00e9\\n"}\n'
posix = pytest.mark.posix("needs POSIX")


def _run(agent: HttpPeer, *arguments: str) -> Ended:
    return run_task("stdout.py", *arguments, agent=agent.base_url)


@pytest.mark.parametrize(
    "way", ["print", "raw", "fd", "child", *([] if os.name != "posix" else ["fork", "c"])]
)
def test_noise_lands_on_stderr(agent: HttpPeer, way: str) -> None:
    """What `print`, descriptor 1, a child or C code writes is on stderr; the result is alone."""
    ended = _run(agent, f"--way={way}")
    assert (ended.exit_code, ended.stdout) == (0, LINE)
    assert b"NOISE" + way.encode() in ended.stderr
    assert parse_result(ended.stdout) == {"a": "é\n"}


def test_no_result_is_no_output(agent: HttpPeer) -> None:
    """A handler that returns None prints nothing, whatever it writes."""
    ended = _run(agent, "--way=print", "--result=none")
    assert (ended.exit_code, ended.stdout) == (0, b"")


@posix
def test_record_of_a_forked_child_stands_on_stderr(agent: HttpPeer, broker: MqttPeer) -> None:
    """A child has no connection of its own: its record is on stderr, the parent's at the broker."""
    ended = _run(agent, "--way=fork")
    assert len(ended.messages("from_the_child")) == 1
    # Python 3.12 and later warn of a fork beside threads, which is a record too.
    assert sum(b"started" in payload for payload in broker.payloads) == 1


def test_result_of_64_kib_is_printed_whole(agent: HttpPeer) -> None:
    """The largest result is one line of exactly 64 KiB."""
    ended = _run(agent, "--result=64k")
    assert (ended.exit_code, len(ended.stdout)) == (0, 65_536)
    assert ended.stdout.count(b"\n") == 1


@pytest.mark.parametrize(
    ("result", "words"), [("big", "65537 bytes of JSON"), ("set", "object has no JSON form")]
)
def test_other_result_is_70_and_not_printed(agent: HttpPeer, result: str, words: str) -> None:
    """A result that is too large, or has no JSON form, ends with 70 and an empty stdout."""
    assert_failed(_run(agent, f"--result={result}"), 70, words)


def test_grandchild_does_not_keep_stdout_open(agent: HttpPeer) -> None:
    """A process left behind holds no copy of the agent's pipe: the reader sees the end at once."""
    base = f"--keeper-api-base={agent.base_url}"
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, PROGRAMS / "stdout.py", base, "--way=keep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout
        assert process.stdout.read() == LINE
    assert (process.returncode, time.monotonic() - start < PATIENCE / 2) == (0, True)


@posix
def test_descriptors_above_1023_are_served(agent: HttpPeer, broker: MqttPeer) -> None:
    """`select()` refuses such descriptors: stdout, the agent and the broker do without it."""
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2200:
        pytest.skip("the system does not allow 2200 descriptors")
    ended = run_task("many_descriptors.py", agent=agent.base_url)
    assert (ended.exit_code, ended.stdout) == (0, b'{"count":1}\n'), ended.stderr
    assert [json.loads(payload)["message"] for payload in broker.payloads] == ["record"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_descriptor_is_harmless(agent: HttpPeer, broker: MqttPeer, closed: str) -> None:
    """A process started without stdin, stdout or stderr runs as usual; nothing goes astray."""
    program = [PROGRAMS / "stdout.py", f"--keeper-api-base={agent.base_url}", "--way=print"]
    ended = run_without(
        closed, [sys.executable, *program], env={**os.environ, "KEEPER_JOB_ID": "key-scanner"}
    )
    assert ended.returncode == 0
    assert ended.stdout == (b"" if ">&-" in closed.split() else LINE)
    assert (b"NOISE" in ended.stderr) == ("2>" not in closed)
    assert len(broker.payloads) == 1


def test_stdout_may_be_a_file(agent: HttpPeer, tmp_path: Path) -> None:
    """With stdout in a file and stderr in a pipe, or the other way round, the result is alone."""
    for name in ("stdout", "stderr"):
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with (tmp_path / name).open("wb") as file:
            program = [str(PROGRAMS / "stdout.py"), f"--keeper-api-base={agent.base_url}"]
            command = [sys.executable, *program, "--way=print"]
            ended = subprocess.run(
                command, **{**streams, name: file}, timeout=PATIENCE, check=False
            )
        written = {"stdout": ended.stdout, "stderr": ended.stderr}
        written[name] = (tmp_path / name).read_bytes()
        assert (ended.returncode, written["stdout"]) == (0, LINE)
        assert b"NOISEprint" in written["stderr"]


def test_reader_that_has_gone_does_not_hold_up_the_end(agent: HttpPeer) -> None:
    """A closed pipe on stdout costs the result, which the exit code tells, and no time."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        program = [str(PROGRAMS / "stdout.py"), f"--keeper-api-base={agent.base_url}"]
        ended = subprocess.run(
            [sys.executable, *program],
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert ended.returncode == 74
    assert b"epm_task: exit 74 (IOERR): the result was not taken: stdout is" in ended.stderr


RECORDS = """
from epm_task import TaskContext, task

@task(job_id="key-scanner")
def records(ctx: TaskContext) -> None:
    for n in range(5000):
        ctx.log.info("record", n=n)

records.main()
"""


def test_full_stderr_is_bounded(tmp_path: Path) -> None:
    """When nobody reads stderr the process ends all the same, and says that records are lost."""
    program = tmp_path / "records.py"  # it does not print, which would wait for the reader
    program.write_text(RECORDS, "utf-8")
    with (
        MqttPeer(puback_reasons={"KeeperLogger": 0x87}) as broker,
        agent_with(broker.port) as agent,
    ):
        reader, stderr = narrow_pipe()
        options = [f"--keeper-api-base={agent.base_url}", "--flush-timeout=1"]
        with stderr, reader:
            ended = subprocess.run(
                [sys.executable, program, *options],
                stdout=subprocess.PIPE,
                stderr=stderr.fileno(),
                env={**os.environ, "KEEPER_JOB_ID": "key-scanner"},
                timeout=PATIENCE,
                check=False,
            )
    assert ended.returncode == 74


def test_record_after_half_a_line_stands_alone(agent: HttpPeer, broker: MqttPeer) -> None:
    """A record on stderr begins a line of its own, whatever was printed before it."""
    ended = run_task("open_line.py", agent=agent.base_url)
    assert [record["message"] for record in ended.records] == ["first", "second"]
    assert b"half a line\n{" in ended.stderr


def test_module_that_prints_does_not_spoil_stdout(agent: HttpPeer) -> None:
    """What a task's module prints while it is imported lands on stderr, too."""
    ended = run_task("loud_module.py", agent=agent.base_url)
    assert ended.stdout == b'{"said":"nothing"}\n'
    assert b"importing\nimported\nstarting\n" in ended.stderr


@pytest.mark.parametrize("way", ["-m", "runpy", "helper"])
def test_program_in_another_form_does_not_spoil_stdout(
    agent: HttpPeer, tmp_path: Path, way: str
) -> None:
    """The same holds for `python -m`, for runpy, as in a zip program, and for a helper's import."""
    (tmp_path / "noisy_helper.py").write_text("import epm_task.runtime.task\nprint('helper')\n")
    loud = (PROGRAMS / "loud_module.py").read_text()
    (tmp_path / "helped.py").write_text(f"import noisy_helper\n{loud}")
    again = "import runpy; runpy.run_module('loud_module', run_name='__main__', alter_sys=True)"
    start = {
        "-m": ["-m", "loud_module"],
        "runpy": ["-c", again],
        "helper": [str(tmp_path / "helped.py")],
    }
    ended = subprocess.run(
        [sys.executable, *start[way], f"--keeper-api-base={agent.base_url}"],
        env={**os.environ, "PYTHONPATH": str(PROGRAMS)},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, b'{"said":"nothing"}\n')
    assert (b"helper\n" in ended.stderr, b"importing" in ended.stderr) == (way == "helper", True)


def test_import_leaves_the_stdout_of_another_program_alone(tmp_path: Path) -> None:
    """A program that looks at a task's file keeps its stdout, whatever its arguments are."""
    program = tmp_path / "looks.py"
    program.write_text(
        "import sys\nfrom importlib import import_module\n"
        f"sys.path.insert(0, {str(PROGRAMS)!r})\n"
        "def look():\n    return import_module('loud_module').loud_module\n"
        "print(look().name)\n"
    )
    command = [sys.executable, str(program), "--keeper-api-base=https://127.0.0.1:1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.stdout.split(), ended.stderr) == (["importing", "imported", "loud-module"], "")


def test_command_line_prints_its_json_on_stdout() -> None:
    """`epm-task run` is not the task, even with the task's arguments among its own."""
    command = [sys.executable, "-m", "epm_task.cli", "run", f"{PROGRAMS}/hello.py", "--json", "--"]
    ended = subprocess.run(
        [*command, "--keeper-api-base=https://127.0.0.1:1"],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert json.loads(ended.stdout)["exit_code"] == ended.returncode != 0
