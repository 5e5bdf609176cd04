"""Tests of `make_context`, which calls a handler as a plain function, without any agent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from epm_task import TaskContext, TaskError, Topic, task
from epm_task.testing import HandlerContext, make_context

NEWS: Topic[Any] = Topic("Jobs/teller/news")


@dataclass
class Finding:
    """A typed payload."""

    path: Path


FINDINGS = Topic("Jobs/teller/findings", payload=Finding)


@task(publishes=[NEWS, FINDINGS])
def teller(ctx: TaskContext, *, words: int = 2) -> dict[str, int]:
    """Tell words until it is stopped."""
    told = 0
    while told < words and not ctx.stopping.is_set() and ctx.remaining() > 1:
        ctx.log.bind(kind="word").info("told", number=told)
        told += 1
    ctx.publish(NEWS, {"told": told})
    return {"told": told}


def test_records_and_publications_are_kept() -> None:
    """What the handler writes and publishes is in the context, in order."""
    ctx = make_context(publishes=[NEWS])
    assert teller(ctx, words=2) == {"told": 2}
    assert [record.message for record in ctx.records] == ["told", "told"]
    first = ctx.records[0]
    assert first.properties == {"kind": "word", "number": 0}
    assert (first.level, first.job_id, first.job_name) == ("Information", "test-job", "Test job")
    assert [record.seq for record in ctx.records] == sorted({r.seq or 0 for r in ctx.records})
    assert ctx.published == [("Jobs/teller/news", {"told": 2})]


def test_two_contexts_share_nothing() -> None:
    """Each context has records of its own, and identity of its own."""
    one, two = make_context(run_id="a", job_id="one", job_name="One"), make_context()
    one.log.warning("only_here")
    assert (one.run_id, one.job_id, one.job_name) == ("a", "one", "One")
    assert (two.run_id, two.job_id, two.job_name) == ("test-run", "test-job", "Test job")
    assert (len(one.records), two.records, two.published) == (1, [], [])
    assert (one.records[0].level, one.records[0].run_id) == ("Warning", "a")


def test_stopping() -> None:
    """A handler that is told to stop, or has no time left, can be tested."""
    ctx = make_context(publishes=[NEWS])
    ctx.stopping.set()
    assert teller(ctx) == {"told": 0}
    assert teller(make_context(publishes=[NEWS], remaining_seconds=1)) == {"told": 0}
    assert make_context().remaining() == math.inf
    assert make_context(remaining_seconds=2.5).remaining() == 2.5


def test_typed_payload() -> None:
    """A payload is turned into JSON as in a real run."""
    ctx = make_context(publishes=[FINDINGS])
    ctx.publish(FINDINGS, Finding(Path("a")))
    assert ctx.published == [(FINDINGS.name, {"path": "a"})]


def test_undeclared_topic() -> None:
    """A topic that was not declared is refused as in a real run."""
    with pytest.raises(TaskError, match="is not declared"):
        make_context().publish(NEWS, {})


def test_secret_and_exception_in_a_record() -> None:
    """Records are written by the real encoder: what cannot be JSON does not raise."""
    ctx = make_context()
    try:
        {"a": 1}["gone"]
    except KeyError:
        ctx.log.exception("failed", odd=object(), number=math.nan)
    (record,) = ctx.records
    assert record.level == "Error"
    assert "KeyError" in record.properties["exception"]


def test_no_agent() -> None:
    """`ctx.agent` says what to do when there is none, and is the one that was given."""
    with pytest.raises(RuntimeError, match=r"ctx\.agent\.settings was used.*fixture `agent`"):
        make_context().agent.settings("P")
    mine: Any = object()
    assert make_context(agent=mine).agent is mine


def test_bad_job_id() -> None:
    """A job id that the broker could not carry is refused, as in a real run."""
    with pytest.raises((TaskError, ValueError), match="underscore"):
        make_context(job_id="bad_id")


def test_context_is_a_task_context() -> None:
    """The handler's annotation holds, so that type checkers accept the call."""
    assert isinstance(make_context(), TaskContext)
    assert isinstance(make_context(), HandlerContext)
