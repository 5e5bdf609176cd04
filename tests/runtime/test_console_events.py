"""The events of a Windows console stop a run in order, and that of another user does not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from peers.console_event import CLOSE, LOGOFF, SHUTDOWN, send_event
from peers.patience import BUSY, PATIENCE
from peers.task_process import TaskProcess

from epm_task.exit_code import ExitCode

if TYPE_CHECKING:
    from peers.http_peer import HttpPeer
    from peers.mqtt_peer import MqttPeer

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="Windows only")


@pytest.mark.parametrize("event", [CLOSE, SHUTDOWN], ids=["close", "shutdown"])
def test_the_end_of_the_console_stops_the_run_in_order(
    broker: MqttPeer, agent: HttpPeer, event: int
) -> None:
    """The handler returns, cleans up, and its records arrive."""
    with TaskProcess("stubborn.py", "--way=obey", agent=agent.base_url) as process:
        process.await_stderr(b"handler-started")
        send_event(process.pid, event)
        ended = process.end(BUSY)
    assert (ended.exit_code, ended.stdout) == (ExitCode.SIGBREAK, b"")
    assert "obeyed" in [json.loads(payload)["message"] for payload in broker.payloads]


@pytest.mark.parametrize("event", [CLOSE, SHUTDOWN], ids=["close", "shutdown"])
def test_the_end_of_the_console_is_not_served_before_the_end(agent: HttpPeer, event: int) -> None:
    """The system ends the process when its handler of the event returns."""
    with TaskProcess("stubborn.py", "--way=deaf", agent=agent.base_url) as process:
        process.await_stderr(b"handler-started")
        assert not send_event(process.pid, event, seconds=0.2)
        assert process.end(BUSY).exit_code == ExitCode.FORCED


def test_the_end_of_the_console_during_the_flush_loses_nothing(
    broker: MqttPeer, agent: HttpPeer
) -> None:
    """The process is held until its records are accounted for."""
    broker.no_puback = True
    how = ("--count=100", "--flush-timeout=1")
    with TaskProcess("records.py", *how, agent=agent.base_url) as process:
        process.await_stderr(b"handler-ended")
        send_event(process.pid, CLOSE)
        ended = process.end(BUSY)
    assert ended.exit_code in {ExitCode.OK, ExitCode.SIGBREAK}
    assert len(ended.messages("record")) == 100


def test_a_user_who_logs_off_stops_no_run(agent: HttpPeer) -> None:
    """A service hears of every user; the Ctrl-C that follows is the first request to stop."""
    with TaskProcess("stubborn.py", "--way=sleep", agent=agent.base_url) as process:
        process.await_stderr(b"handler-started")
        assert send_event(process.pid, LOGOFF, seconds=BUSY)
        process.signal(signal.SIGINT)
        ended = process.end(BUSY)
    assert ended.exit_code == ExitCode.SIGINT


#: The C library has put the default in the place of Python's handlers, as it does while it calls
#: one of them; an interruption comes meanwhile.
_MEANWHILE = """
import ctypes, signal, threading, time
from epm_task.runtime import console_events
assert ctypes.CDLL("ucrtbase").signal(signal.SIGINT, None)
threading.Timer(0.5, console_events.interrupt_main_thread, (signal.SIGINT,)).start()
try:
    time.sleep(600)
except KeyboardInterrupt:
    print("served")
"""


def test_an_interruption_while_a_signal_is_served_ends_no_process() -> None:
    """The main thread serves it, and sleeps no longer."""
    command = [sys.executable, "-c", _MEANWHILE]
    ended = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert (ended.stdout.strip(), ended.returncode) == (b"served", 0), ended.stderr
