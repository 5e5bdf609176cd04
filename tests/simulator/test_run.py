"""Tests of the loop thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from epm_task.simulator.run import LoopThread


def test_calls_run_in_the_other_thread():
    """Coroutines and plain functions run in the loop's own thread, and errors come back."""
    loop = LoopThread("other")
    try:
        assert loop.call_plain(threading.current_thread).name == "other"
        with pytest.raises(ZeroDivisionError):
            loop.call_plain(lambda: 1 // 0)
    finally:
        loop.stop()


def test_wait_that_is_cut_off_cancels():
    """A coroutine that takes too long is cancelled."""
    loop = LoopThread("other")
    cancelled = threading.Event()

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    try:
        with pytest.raises(TimeoutError):
            loop.call(long(), timeout_seconds=0.02)
        assert cancelled.wait(5)
    finally:
        loop.stop()


def test_stop_ends_what_still_runs():
    """Tasks are cancelled, the thread ends, and a second stop does nothing."""
    loop = LoopThread("other")
    future = loop.submit(asyncio.sleep(60))
    loop.call_plain(lambda: None)
    loop.stop()
    loop.stop()
    assert future.cancelled()
    assert "other" not in [thread.name for thread in threading.enumerate()]
