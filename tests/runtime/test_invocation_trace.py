"""A run belongs to the trace that its environment names, or begins one."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epm_task.runtime.invocation import read_trace
from epm_task.testing import Agent

if TYPE_CHECKING:
    from pathlib import Path

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_the_callers_trace_goes_on() -> None:
    """With its flags and state, in this run and in the environment of its children."""
    environ = {"TRACEPARENT": PARENT[:-1] + "0", "TRACESTATE": "vendor=1,other=t61rc"}
    trace = read_trace(environ, "7f")
    assert (trace.trace_id, trace.span_id, trace.ignored) == (TRACE_ID, SPAN_ID, "")
    assert trace.environment() == environ


def test_without_one_a_run_begins_its_own() -> None:
    """Its span is the run; two runs never have the same trace."""
    traces = [read_trace({"TRACESTATE": "alone=1"}, "00f067aa0ba902b7") for _ in range(2)]
    assert traces[0].trace_id != traces[1].trace_id
    for trace in traces:
        assert re.fullmatch("[0-9a-f]{32}", trace.trace_id)
        assert read_trace(trace.environment(), "7f")[:3] == trace[:3]
        assert trace.environment() == {"TRACEPARENT": f"00-{trace.trace_id}-{SPAN_ID}-01"}
        assert trace.ignored == ""


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "garbage",
        PARENT.upper(),
        PARENT[:-1],
        f"{PARENT} ",
        f"{PARENT}\n",
        f"{PARENT}-more",
        f"ff{PARENT[2:]}",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}\N{ARABIC-INDIC DIGIT ONE}-{SPAN_ID}-01",
        "x" * 100_000,
    ],
)
def test_what_is_malformed_is_ignored(parent: str) -> None:
    """And kept, so that one record can say so."""
    trace = read_trace({"TRACEPARENT": parent, "TRACESTATE": "vendor=1"}, SPAN_ID)
    assert trace.trace_id != TRACE_ID
    assert (trace.span_id, trace.state, trace.ignored) == (SPAN_ID, "", parent)


def test_a_later_version_may_say_more() -> None:
    """What is known of it counts; children get the version that is spoken here."""
    trace = read_trace({"TRACEPARENT": f"cc{PARENT[2:]}-what-comes-next"}, "7f")
    assert trace.environment() == {"TRACEPARENT": PARENT}


@pytest.mark.parametrize("state", ["x" * 513, "a=\x7f", "a=\n", "ä=1"])
def test_an_unusable_state_is_dropped(state: str) -> None:
    """The trace stays."""
    trace = read_trace({"TRACEPARENT": PARENT, "TRACESTATE": state}, "7f")
    assert (trace.trace_id, trace.state) == (TRACE_ID, "")


@given(st.text(), st.text())
def test_any_text_makes_a_trace(parent: str, state: str) -> None:
    """Whatever the environment holds, the ids can stand in a record."""
    trace = read_trace({"TRACEPARENT": parent, "TRACESTATE": state}, SPAN_ID)
    assert re.fullmatch("[0-9a-f]{32}", trace.trace_id)
    assert re.fullmatch("[0-9a-f]{16}", trace.span_id)


TASK = '''
from epm_task import TaskContext, task


@task
def traced(ctx: TaskContext) -> None:
    """Write a record."""
    ctx.log.info("here")


if __name__ == "__main__":
    traced.main()
'''


@pytest.mark.parametrize("level", ["debug", "information"])
def test_records_have_both_ids(tmp_path: Path, level: str) -> None:
    """A malformed context is told once, to who asks for the level Debug."""
    file = tmp_path / "traced.py"
    file.write_text(TASK, "utf-8")
    arguments = [f"--log-level={level}"]
    with Agent() as agent:
        good = agent.run(file, arguments=arguments, env={"TRACEPARENT": PARENT})
        bad = agent.run(file, arguments=arguments, env={"TRACEPARENT": PARENT[:-1]})
    assert {(one.trace_id, one.span_id) for one in good.records} == {(TRACE_ID, SPAN_ID)}
    messages = [one.message for one in bad.records]
    assert messages.count("trace_context_ignored") == (level == "debug")
    (ids,) = {(one.trace_id, one.span_id, one.run_id) for one in bad.records}
    assert ids[1] == ids[2]
    assert json.dumps(TRACE_ID) not in json.dumps(ids)
