"""A forked child of a task: a process of its own, which has neither the result nor the stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from peers.accounting import account
from peers.mqtt_peer import MqttPeer
from peers.task_process import TaskProcess, agent_with, run_task

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.posix("only POSIX has fork")

HEAD = """
import multiprocessing, os, sys, threading, time
from epm_task import TaskContext, TaskFailed, Topic, task
FINDINGS = Topic("Jobs/key-scanner/findings")

@task(job_id="key-scanner", publishes=[FINDINGS])
def program(ctx: TaskContext) -> dict[str, int]:
    parent = os.getpid()
    ctx.log.info("before")
"""
FORK = """
    children = []
    for number in range(3):
        if not (child := os.fork()):
            for n in range(20):
                ctx.log.info("in the child", n=n)
            ctx.publish(FINDINGS, {"child": number})
            END
        children.append(child)
    for n in range(20):
        ctx.log.info("in the parent", n=n)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    ctx.log.info("ended", codes=codes)
    return {"pid": parent}
"""
ENDS = {
    "return {'child': 1}": 0,
    "os._exit(0)": 0,
    "raise TaskFailed('no', exit_code=3)": 3,
    "raise ValueError": 70,
    "sys.exit(4)": 4,
}


@pytest.mark.parametrize("end", ENDS)
def test_records_of_children_are_told_apart(tmp_path: Path, end: str) -> None:
    """Each process numbers its records, under a run id of its own; there is one result."""
    program = tmp_path / "program.py"
    program.write_text(HEAD + FORK.replace("END", end) + "\nprogram.main()\n")
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        ended = run_task(program, agent=agent.base_url)
    assert ended.exit_code == 0, ended.stderr
    assert list(json.loads(ended.stdout)) == ["pid"]
    delivered = [json.loads(payload) for payload in broker.payloads]
    (run_id,) = {record["runId"] for record in delivered}
    assert [record["properties"].get("codes") for record in delivered][-1] == [ENDS[end]] * 3
    by_run: dict[str, list[int]] = {}
    for record in ended.records:
        if record["message"] == "in the child":
            by_run.setdefault(record["runId"], []).append(record["properties"]["n"])
    assert list(by_run.values()) == [list(range(20))] * 3
    assert all(child.startswith(f"{run_id}.") for child in by_run)
    for of in (run_id, *by_run):
        mine = [r["seq"] for r in delivered + ended.records if r["runId"] == of]
        found = account(range(1, max(mine) + 1), broker.payloads, ended.stderr, run_id=of)
        assert not found.missing
        assert not found.contradictory
    assert b"epm_task: exit" not in ended.stderr
    assert sorted(_publications(ended.stderr)) == [0, 1, 2]


def _publications(stderr: bytes) -> list[int]:
    lines = [json.loads(line) for line in stderr.splitlines() if line.startswith(b'{"topic"')]
    return [line["payload"]["child"] for line in lines]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing_children_write_no_result(tmp_path: Path, method: str) -> None:
    """A pool's workers may log or not, by their start method; the result is the parent's."""
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import multiprocessing
from epm_task import TaskContext, task

def work(n: int) -> int:
    print("working")
    return n * n

@task(job_id="key-scanner")
def program(ctx: TaskContext) -> dict[str, list[int]]:
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        return {{"squares": pool.map(work, range(5))}}

if __name__ == "__main__":
    program.main()
"""
    )
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        ended = run_task(program, agent=agent.base_url)
    assert (ended.exit_code, ended.stdout) == (0, b'{"squares":[0,1,4,9,16]}\n'), ended.stderr


def test_child_asks_the_agent_over_a_connection_of_its_own(tmp_path: Path) -> None:
    """Two processes that wrote to one TLS session would end it for both."""
    program = tmp_path / "program.py"
    program.write_text(
        HEAD
        + """
    for _ in range(3):
        if not (child := os.fork()):
            ctx.agent.settings()
            os._exit(0)
        ctx.agent.settings()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return {"pid": parent}

program.main()
"""
    )
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        ended = run_task(program, agent=agent.base_url)
    assert ended.exit_code == 0, ended.stderr
    assert (len(agent.requests), agent.connections) == (7, 4)


def test_child_does_not_keep_stdout_open(tmp_path: Path) -> None:
    """A child that goes on after the end does not keep the agent waiting for the result."""
    program = tmp_path / "program.py"
    program.write_text(
        HEAD
        + """
    if not os.fork():
        os.closerange(0, 3)
        time.sleep(60)
        os._exit(0)
    return {"pid": parent}

program.main()
"""
    )
    with (
        MqttPeer() as broker,
        agent_with(broker.port) as agent,
        TaskProcess(program, agent=agent.base_url) as process,
    ):
        ended = process.end()
    assert (ended.exit_code, list(json.loads(ended.stdout))) == (0, ["pid"])


def test_child_waits_for_a_reader_that_pauses(tmp_path: Path) -> None:
    """It has no flush at its end, so that each record waits for stderr instead."""
    program = tmp_path / "program.py"
    program.write_text(
        HEAD
        + """
    if not (child := os.fork()):
        for n in range(500):
            ctx.log.info("in the child", n=n, text="x" * 3000)
        os._exit(0)
    os.waitpid(child, 0)

program.main()
"""
    )
    reader, writer = os.pipe()
    with (
        MqttPeer() as broker,
        agent_with(broker.port) as agent,
        os.fdopen(reader, "rb") as stderr,
        subprocess.Popen(
            [sys.executable, program, f"--keeper-api-base={agent.base_url}"],
            stderr=writer,
            env={**os.environ, "KEEPER_JOB_ID": "key-scanner"},
        ) as process,
    ):
        os.close(writer)
        time.sleep(2)
        lines = stderr.read().splitlines()
    assert process.returncode == 0
    found = [json.loads(line) for line in lines if b'"in the child"' in line]
    assert [record["properties"]["n"] for record in found] == list(range(500))
