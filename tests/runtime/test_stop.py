"""A stop asks, interrupts and ends, in this order; each test is a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from epm_task.runtime.stop import Shield

PROLOGUE = """
import os, signal, sys, threading, time
from epm_task.runtime.stop import Stop, Stopped, thread_stacks
stop = Stop()
def send(number=signal.SIGTERM):
    signal.raise_signal(number)
def poll(fact):
    until = time.monotonic() + 30
    while not fact():
        assert time.monotonic() < until
        time.sleep(0.005)
"""


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROLOGUE + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _prints(code: str, expected: str, exit_code: int = 0) -> None:
    ended = _run(code)
    assert (ended.stdout, ended.returncode) == (expected, exit_code), ended.stderr


@pytest.mark.parametrize(
    ("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)], ids=["SIGTERM", "SIGINT"]
)
def test_signal_has_its_exit_code(name: str, code: int) -> None:
    """The first signal decides why the run ends."""
    _prints(
        f"""
send(signal.{name})
poll(stop._stopping.is_set)
send(signal.SIGTERM if {code} == 130 else signal.SIGINT)
stop.over()
print(int(stop.exit_code))
""",
        f"{code}\n",
    )


def test_block_is_interrupted_once() -> None:
    """Inside the block the main thread is interrupted; afterwards, and again, it is not."""
    _prints(
        """
try:
    with stop.interruptible():
        send()
        time.sleep(30)
except Stopped:
    print("stopped")
send()
time.sleep(0.1)
stop.over()
print("left alone")
""",
        "stopped\nleft alone\n",
    )


def test_stop_before_the_block_interrupts_its_start() -> None:
    """A signal that comes too early is noted, and served when the block begins."""
    _prints(
        """
send()
poll(lambda: stop._raise_now)
print("noted")
try:
    with stop.interruptible():
        print("never")
except Stopped:
    print("stopped")
stop.over()
""",
        "noted\nstopped\n",
    )


def test_looking_at_the_event_gives_time() -> None:
    """Who has asked for `stopping` is not interrupted at once, and has more seconds in all."""
    _prints(
        """
print(stop.grace_seconds)
stopping = stop.stopping
print(stop.grace_seconds)
with stop.interruptible():
    send()
    assert stopping.wait(30)
    time.sleep(0.2)
stop.over()
print("in its own time")
""",
        "1.5\n3.5\nin its own time\n",
    )


def test_who_does_not_stop_is_ended() -> None:
    """After the interruption `on_forced` is called; by default the process ends with 125."""
    _prints(
        """
send()
while True:
    time.sleep(1)
""",
        "",
        125,
    )
    _prints(
        """
def force():
    print("forced", flush=True)
    os._exit(7)
stop.on_forced = force
send()
while True:
    time.sleep(1)
""",
        "forced\n",
        7,
    )


def test_deadline_asks_after_its_callback() -> None:
    """At the deadline the stacks of the author's threads are handed over, then comes the stop."""
    _prints(
        """
stacks = []
stop.on_deadline = stacks.append
assert stop.remaining() == float("inf")
stop.set_deadline(60, 1.0)
assert 0 < stop.remaining() <= 60
def author():
    time.sleep(60)
threading.Thread(target=author, name="authors-thread", daemon=True).start()
stop.set_deadline(0.2, 1.0)
assert stop.remaining() <= 0.2
try:
    with stop.interruptible():
        time.sleep(30)
except Stopped:
    print(int(stop.exit_code), stop.remaining())
stop.over()
(text,) = stacks
print("authors-thread:" in text, "MainThread:" in text, "epm-task-stop" in text)
os._exit(0)
""",
        "124 0.0\nTrue True False\n",
    )


def test_deadline_in_the_past_is_one_at_once() -> None:
    """A deadline that has passed already stops the run without delay."""
    _prints(
        """
try:
    with stop.interruptible():
        stop.set_deadline(0.0, 1.0)
        time.sleep(30)
except Stopped:
    print("stopped")
stop.over()
os._exit(0)
""",
        "stopped\n",
    )


def test_other_interruption_can_take_its_place() -> None:
    """In a block of its own, an event loop is interrupted in its own way."""
    _prints(
        """
event = threading.Event()
with stop.interruptible(), stop.interrupting_with(event.set):
    send()
    assert event.wait(30)
stop.over()
print("by the loop")
""",
        "by the loop\n",
    )


def test_what_is_over_is_not_ended() -> None:
    """After `over` neither an interruption nor a forced end follows."""
    _prints(
        """
stop.over()
send()
poll(lambda: stop.exit_code)
time.sleep(1.8)
print("still here")
""",
        "still here\n",
    )


@pytest.mark.posix("Windows has no fork")
def test_forked_child_has_the_signals_of_any_process() -> None:
    """A signal to a child ends the child, and leaves its parent alone."""
    _prints(
        """
reader, writer = os.pipe()
child = os.fork()
if not child:
    os.write(writer, b"!")
    time.sleep(30)
    os._exit(0)
os.read(reader, 1)
os.kill(child, signal.SIGTERM)
print(os.WTERMSIG(os.waitpid(child, 0)[1]), stop.exit_code)
""",
        "15 None\n",
    )


def test_many_signals_do_not_block() -> None:
    """A thousand signals are one stop."""
    _prints(
        """
for _ in range(1000):
    send()
poll(lambda: stop.exit_code)
stop.over()
print(int(stop.exit_code))
""",
        "143\n",
    )


@pytest.mark.posix("Windows takes no size of a stack that cannot be had")
def test_thread_that_cannot_be_had_is_71() -> None:
    """The system has no room for its stack."""
    _prints(
        """
from epm_task.errors import SystemExhausted
from epm_task.runtime.stop import start_thread
threading.stack_size(1 << 46)
try:
    start_thread(print, "one-too-many")
except SystemExhausted as error:
    print(int(error.exit_code))
""",
        "71\n",
    )


def test_signal_beside_another_wake_up_counts() -> None:
    """Both may wait for the watch; the deadline's is no signal."""
    _prints(
        """
stop._wake_writer.send(bytes([0, signal.SIGTERM]))
poll(lambda: stop.exit_code)
stop.over()
print(int(stop.exit_code))
""",
        "143\n",
    )


def test_shield_is_up_inside() -> None:
    """It can be entered again, and is lowered with the last exit."""
    shield = Shield()
    assert not shield.up
    with shield, shield:
        assert shield.up
    assert not shield.up  # type: ignore[unreachable]  # mypy does not see that it changes


def test_shield_is_lowered_by_an_exception() -> None:
    """What is raised inside does not leave it up."""
    shield = Shield()
    with pytest.raises(KeyError), shield:
        raise KeyError
    assert not shield.up


def test_other_threads_pass_through() -> None:
    """Only the main thread can be interrupted, so only it raises the shield."""
    shield = Shield()
    seen: list[bool] = []

    def enter() -> None:
        with shield:
            seen.append(shield.up)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [False]
