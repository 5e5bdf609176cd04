"""A task process is a task program, started with the arguments and environment of an agent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from peers import http_answer
from peers.console_event import CTRL_BREAK, CTRL_C, send_event
from peers.http_peer import HttpPeer
from peers.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PROGRAMS = Path(__file__).parent.parent / "programs"

#: The signal by which an agent asks a task to stop.
STOP: Final[int] = getattr(signal, "SIGBREAK", signal.SIGTERM)


@dataclass(frozen=True)
class Ended:
    """How a task process ended; times are seconds of the monotonic clock."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    started_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        """How long the process ran."""
        return self.ended_at - self.started_at

    @property
    def last_line(self) -> str:
        """The last line on stderr, "" when there is none."""
        return self.stderr.decode().rpartition("\n")[0].rpartition("\n")[2]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records on stderr."""
        lines = [line for line in self.stderr.splitlines() if line.startswith(b"{")]
        return [record for line in lines if "runId" in (record := json.loads(line))]

    def messages(self, message: str) -> list[dict[str, Any]]:
        """Return the records on stderr with this message."""
        return [record for record in self.records if record["message"] == message]

    def mark(self, name: str) -> float:
        """Return the moment that the program printed as `name 123.456`."""
        for line in self.stderr.splitlines():
            if line.startswith(name.encode() + b" "):
                return float(line.split()[1])
        raise AssertionError(f"{name} was not reached: {self.stderr[-2000:]!r}")


def assert_failed(ended: Ended, code: int, *words: str) -> None:
    """Check the exit code, the silence of stdout, and the one line for people with its words."""
    assert ended.exit_code == code, ended.stderr
    assert ended.stdout == b""
    assert ended.last_line.startswith(f"epm_task: exit {code} ("), ended.last_line
    assert len(ended.last_line) < 500
    for word in words:
        assert word in ended.last_line
    assert b"Traceback" not in ended.stderr


class TaskProcess:
    """A running program; leaving the context kills it."""

    def __init__(  # noqa: PLR0913  # the surroundings of a process
        self,
        program: str | Path,
        *arguments: str,
        agent: str | None = None,
        job_id: str | None = "key-scanner",
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stderr: Path | None = None,
        interpreter: Sequence[str | Path] = (sys.executable,),
        flags: int = 0,
    ) -> None:
        """Start *program*, a name in `tests/programs` or a path, for an agent at a base URL.

        stderr is a pipe that is read here, or the file *stderr*, which no busy machine makes wait.
        What comes before the program may be another interpreter, or nothing for an executable.
        *flags* say how Windows starts it.
        """
        base = [] if agent is None else [f"--keeper-api-base={agent}"]
        variables = {k: v for k, v in os.environ.items() if not k.startswith("KEEPER_")}
        variables.pop("PYTHONUNBUFFERED", None)  # a print would be two writes
        if job_id is not None:
            variables |= {"KEEPER_JOB_ID": job_id, "KEEPER_JOB_NAME": "Key scanner"}
        self._started_at = time.monotonic()
        self._stderr = stderr
        with stderr.open("wb") if stderr else contextlib.nullcontext(subprocess.PIPE) as errors:
            self._process = subprocess.Popen(
                [*interpreter, PROGRAMS / program, *base, *arguments],
                env=variables | dict(environment or {}),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                creationflags=flags,
                pipesize=1 << 20,  # a busy reader here is no reader that pauses
            )
        self.pid = self._process.pid
        self._grown = threading.Condition()
        pipes = ["stdout"] if stderr else ["stdout", "stderr"]
        self._read: dict[str, bytearray] = {name: bytearray() for name in pipes}
        self._readers = [
            threading.Thread(target=self._collect, args=(name,)) for name in self._read
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self.end()

    @property
    def stderr(self) -> bytes:
        """What is on stderr so far."""
        return self._stderr.read_bytes() if self._stderr else bytes(self._read["stderr"])

    def await_stderr(self, text: bytes, seconds: float = PATIENCE) -> None:
        """Wait until *text* is on stderr."""
        with self._grown:
            assert self._grown.wait_for(lambda: text in self.stderr, seconds), self.stderr

    def go_on(self) -> None:
        """Let a program that reads a line from stdin go on."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def signal(self, number: int = STOP) -> None:
        """Send a signal."""
        send_signal(self._process, number)

    def kill(self) -> None:
        """End it as SIGKILL does."""
        self._process.kill()

    def end(self, seconds: float = PATIENCE) -> Ended:
        """Wait for the end of the process and of its streams."""
        code = self._process.wait(seconds)
        ended_at = time.monotonic()
        for reader in self._readers:
            reader.join(seconds)
            assert not reader.is_alive(), "somebody keeps a stream of the ended process open"
        assert self._process.stdin
        self._process.stdin.close()
        out, err = bytes(self._read["stdout"]), self.stderr
        return Ended(code, out, err, self._started_at, ended_at)

    def _collect(self, name: str) -> None:
        with getattr(self._process, name) as stream:
            while data := os.read(stream.fileno(), 65_536):
                with self._grown:
                    self._read[name] += data
                    self._grown.notify_all()


def send_signal(process: subprocess.Popen[Any], number: int) -> None:
    """Send a signal; on Windows the event of a console from which Python makes it."""
    if os.name == "nt":
        send_event(process.pid, {signal.SIGINT: CTRL_C, STOP: CTRL_BREAK}[number])
    else:
        process.send_signal(number)


def run_task(program: str | Path, *arguments: str, **how: Any) -> Ended:
    """Run *program* to its end; see `TaskProcess`."""
    with TaskProcess(program, *arguments, **how) as process:
        return process.end()


def unmeasured() -> dict[str, str]:
    """Return this environment without coverage, for programs to which its cost or words matter."""
    return {key: value for key, value in os.environ.items() if "COVERAGE" not in key}


def settings(broker_port: int, **more: str) -> dict[str, str]:
    """Return the system's settings of an agent whose broker has this port."""
    return {"broker.host": "127.0.0.1", "broker.port": str(broker_port), **more}


def agent_with(broker_port: int, *first: http_answer.Answer, listen_after: float = 0.0) -> HttpPeer:
    """Return an agent that answers with *first*, then with the settings for ever."""
    answers = [*first, http_answer.ok(settings(broker_port))]
    return HttpPeer(answers, listen_after=listen_after)


def closed_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        return port


def poll(fact: Callable[[], object]) -> None:
    """Wait until *fact* is true."""
    until = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < until, "it did not become true in time"
        time.sleep(0.005)
