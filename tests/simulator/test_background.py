"""Tests of an event loop in a thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from epm_task.simulator.background import LoopThread


def test_calls_run_in_the_other_thread() -> None:
    """Coroutines and plain functions run in the loop's own thread, and errors come back."""
    loop = LoopThread("other")
    try:
        assert loop.call_plain(threading.current_thread).name == "other"
        with pytest.raises(ZeroDivisionError):
            loop.call_plain(lambda: 1 // 0)
    finally:
        loop.stop()


def test_stop_ends_what_still_runs() -> None:
    """Tasks are cancelled, the thread ends, and a second stop does nothing."""
    loop = LoopThread("other")
    future = loop.submit(asyncio.sleep(60))
    loop.call_plain(lambda: None)
    loop.stop()
    loop.stop()
    assert future.cancelled()
    assert "other" not in [thread.name for thread in threading.enumerate()]
