"""Tests of `epm-task doctor`, in each of twelve broken set-ups, and of `epm-task exit-codes`."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import dated_pair, foreign_pair, options_of, peer_ca
from admin.deploy.bundle_files import executable
from cli.command_line import epm_task
from peers import http_answer, second_user
from peers.http_peer import HttpPeer
from peers.patience import WINDOW
from peers.rights import OTHERS_WRITE, let_others
from peers.windows_program import program_that_ends

from epm_task.errors import sentence
from epm_task.exit_code import ExitCode
from epm_task.job.job import Job
from epm_task.job.task_file import find_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.testing import Agent

TASK = '''
from epm_task import TaskContext, TaskSettings, task

class NoSettings(TaskSettings, plugin="NotThere"):
    size: int = 1

@task(job_id="probe", every_minutes=5, timeout_seconds=60, command="probe")
def probe(ctx: TaskContext):
    """Look."""
    ctx.log.info("looked")

@task(job_id="asker", every_minutes=5, timeout_seconds=60, command="probe")
def asker(settings: NoSettings):
    """Ask for settings of a plugin that nobody has deployed."""

if __name__ == "__main__":
    probe.main()
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of the tasks."""
    path = tmp_path / "probe.py"
    path.write_text(TASK)
    return path


@pytest.fixture
def agent(agent: Agent, file: Path) -> Iterator[Agent]:
    """The agent with the job `probe`, whose binary is a script that becomes the task."""
    path = binary_of(agent)
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.name == "posix":
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{file}" "$@"\n')
        path.chmod(0o755)
    else:
        run = f"runpy.run_path({str(file)!r}, run_name='__main__')"
        path.write_text(f"#!/usr/bin/env python3\nimport runpy\n{run}\n")
    agent.jobs.add(document_of(file))
    yield agent
    agent.reset()  # the agent must not run what is taken away
    shutil.rmtree(path.parent, ignore_errors=True)  # the agent may have been reset


def binary_of(agent: Agent) -> Path:
    """Return where the binary of the jobs is."""
    name = "probe" if os.name == "posix" else "probe.py"
    return agent.root / "Jobs" / "bin" / "probe" / name


def document_of(file: Path, name: str = "probe", **fields: Any) -> dict[str, Any]:
    """Return the document that the code makes."""
    task = find_task(file, name)
    assert task is not None
    return {**Job(tasks=[task]).document(), **fields}


def diagnose(agent: Agent, *words: object, options: list[str] | None = None) -> dict[str, Any]:
    """Return the findings by check, and the checks by `oks`, `warnings`, `problems`, `unknowns`."""
    ended = epm_task(
        "doctor", *words, "--agent-root", agent.root,
        "--broker", f"{agent.broker_host}:{agent.broker_port}", "--json",
        *(options_of(agent) if options is None else options),
    )  # fmt: skip
    report = json.loads(ended.out)
    found = report["findings"]
    counts = report["counts"]
    assert counts == {
        state: sum(each["state"] == state for each in found)
        for state in ("ok", "warning", "problem", "unknown")
    }
    assert ended.exit_code == (1 if counts["problem"] else 3 if counts["unknown"] else 0)
    by_check = {each["check"]: sentence(each["what"], each["why"], each["fix"]) for each in found}
    return by_check | {
        f"{state}s": [each["check"] for each in found if each["state"] == state] for state in counts
    }


def target(file: Path, name: str = "probe") -> str:
    """Return `FILE:TASK`."""
    return f"{file}:{name}"


def test_a_sound_set_up_has_no_fault(agent: Agent, file: Path) -> None:
    """Each check has its line, and what cannot be known is said."""
    assert agent.jobs.trigger("probe").exit_code == 0
    found = diagnose(agent, target(file))
    assert "exit 0" in found["last run"]
    assert found["oks"] == [
        *("agent root", "port", "TLS", "credential", "health", "Plugin tier", "Admin tier", "job"),
        *("drift", "binary", "rights", "architecture", "topics", "last run", "log", "broker"),
    ]
    assert found["problems"] + found["warnings"] + found["unknowns"] == []


def test_people_read_one_line_for_each_check(agent: Agent) -> None:
    """The last line counts them by state."""
    ended = epm_task("doctor", "--agent-root", agent.root, *options_of(agent))
    assert ended.exit_code == 0
    *lines, last = ended.out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 9
    assert last == "0 problems, 0 warnings, 0 unknown, 9 ok"


def test_nothing_is_changed(agent: Agent, file: Path) -> None:
    """Neither at the agent nor in its folder."""
    before = {path: path.stat().st_mtime_ns for path in agent.root.rglob("*") if path.is_file()}
    mark = agent.trace.mark()
    diagnose(agent, target(file))
    after = {path: path.stat().st_mtime_ns for path in agent.root.rglob("*") if path.is_file()}
    assert before == after
    calls = [str(event) for event in agent.trace.since(mark) if event.kind == "api"]
    assert calls
    assert all(call.startswith("GET ") for call in calls)


def test_1_the_agent_is_down(agent: Agent) -> None:
    """Nobody holds the port; checks that need an answer are not run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{free.getsockname()[1]}"
        found = diagnose(agent, options=["--base-url", url])
    assert found["problems"] == ["port"]
    assert "the agent is down" in found["port"]
    assert "health" not in found


@second_user.needs_second_user
def test_2_a_foreign_user_listens(agent: Agent) -> None:
    """The account and the process are named, and nothing is sent there."""
    with second_user.listener() as (port, pid):
        found = diagnose(agent, options=["--base-url", f"https://127.0.0.1:{port}"])
    assert found["problems"] == ["port"]
    assert f"uid 65534, process {pid}" in found["port"]


def test_2_another_program_listens(agent: Agent, tmp_path: Path) -> None:
    """It speaks TLS, and not the agent's API."""
    with HttpPeer([http_answer.body(b"<html>", content_type="text/html")]) as peer:
        options = ["--base-url", peer.base_url, "--cacert", str(peer_ca(tmp_path))]
        found = diagnose(agent, options=options)
    assert found["problems"][0] == "health"
    assert "not the agent's API" in found["health"]


def test_3_a_task_started_by_hand_gets_403(agent: Agent, file: Path) -> None:
    """The tier is proven: health answers, settings are refused, and that is as it must be."""
    by_hand = subprocess.run(
        [
            *(sys.executable, file, "--task=probe", f"--keeper-api-base={agent.base_url}"),
            *(f"--registration-timeout={WINDOW}", f"--ca-file={agent.ca}"),
        ],
        capture_output=True,
        check=False,
    )
    assert by_hand.returncode == 77
    found = diagnose(agent, target(file))
    assert found["problems"] == []
    assert "started by hand" in found["Plugin tier"]
    assert "exit code 77" in found["Plugin tier"]


def test_4_a_certificate_of_another_ca(agent: Agent, tmp_path: Path) -> None:
    """The handshake ends; who issued the certificate is told."""
    certificate, key = foreign_pair(tmp_path)
    options = ["--cert", certificate, "--key", key, "--cacert", agent.ca]
    found = diagnose(agent, options=["--base-url", agent.base_url, *map(str, options)])
    assert found["problems"] == ["Admin tier"]
    assert "not from a CA that it trusts (issued by 'epm-task simulator CA')" in found["Admin tier"]


def test_4_a_certificate_that_gives_no_admin_tier(agent: Agent) -> None:
    """403 while /health answers: the tier, not TLS."""
    agent.faults.add("api path=/api/Jobs status=403")
    found = diagnose(agent)
    assert found["problems"] == ["Admin tier"]
    assert "it is the Admin tier, not TLS" in found["Admin tier"]


def test_5_a_topic_is_missing(agent: Agent, file: Path) -> None:
    """The loss would be silent."""
    topics = {"allowedPublications": ["other"], "allowedSubscriptions": []}
    agent.jobs.add(document_of(file, mqttTopics=topics))
    found = diagnose(agent, "--job", "probe")
    assert found["problems"] == ["topics"]
    assert "KeeperLogger is not allowed" in found["topics"]


def test_5_a_job_without_topics_is_named(agent: Agent, file: Path) -> None:
    """Its tasks get no KEEPER_JOB_ID."""
    agent.jobs.add(document_of(file, mqttTopics={}))
    assert "no KEEPER_JOB_ID" in diagnose(agent, "--job", "probe")["topics"]


def test_6_the_binary_is_missing(agent: Agent, file: Path) -> None:
    """Its place is told."""
    binary_of(agent).unlink()
    found = diagnose(agent, target(file))
    assert found["problems"] == ["binary"]
    assert f"no program at {binary_of(agent).with_suffix('')} nor on PATH" in found["binary"]


@pytest.mark.posix("modes are POSIX")
def test_7_the_binary_may_not_be_executed(agent: Agent, file: Path) -> None:
    """By nobody."""
    binary_of(agent).chmod(0o644)
    found = diagnose(agent, target(file))
    assert found["problems"] == ["start"]
    assert "nobody may execute it; chmod" in found["start"]


def test_7_others_can_replace_the_binary(agent: Agent, file: Path) -> None:
    """Each of them becomes the agent's account."""
    let_others(binary_of(agent), "write")
    found = diagnose(agent, target(file))
    assert found["problems"] == ["rights"]
    assert re.search(OTHERS_WRITE, found["rights"])


@pytest.mark.skipif(sys.platform == "darwin", reason="no binary for macOS is made here")
def test_8_a_one_file_executable(agent: Agent, file: Path) -> None:
    """PyInstaller's cookie is at the end, and no library is beside it."""
    cookie = struct.pack("!8sIIII64s", b"MEI\014\013\012\013\016", 88, 0, 0, 311, b"libpython")
    binary_of(agent).unlink()
    path = binary_of(agent).with_name(executable())
    program = program_that_ends(0) if os.name == "nt" else Path("/bin/true").read_bytes()
    path.write_bytes(program + cookie)
    path.chmod(0o755)
    found = diagnose(agent, target(file))
    assert found["problems"] == ["one-dir"]
    assert "one-file executable of PyInstaller" in found["one-dir"]


def test_9_the_job_is_disabled(agent: Agent, file: Path) -> None:
    """Neither schedule nor trigger starts it."""
    agent.jobs.add(document_of(file, enabled=False))
    found = diagnose(agent, target(file))
    assert found["problems"] == ["job"]
    assert "probe is disabled" in found["job"]


def test_10_the_job_is_not_what_the_code_says(agent: Agent, file: Path) -> None:
    """The places are named; what people added is not drift."""
    agent.jobs.add(document_of(file, priority=9, vendorField=1))
    found = diagnose(agent, target(file))
    assert found["problems"] == ["drift"]
    assert "/priority is 9, in the code 5" in found["drift"]


def test_10_a_job_that_is_not_there_is_named(agent: Agent, file: Path) -> None:
    """The fix registers it."""
    agent.jobs.delete("probe")
    found = diagnose(agent, target(file))
    assert found["problems"] == ["job"]
    assert "jobs apply probe.json" in found["job"]


def test_11_the_plugin_is_not_registered(agent: Agent, file: Path) -> None:
    """The last run ended with 66, and the plugin's file is not there."""
    agent.jobs.add(document_of(file, "asker"))
    assert agent.jobs.trigger("asker").exit_code == 66
    found = diagnose(agent, target(file, "asker"))
    assert found["problems"] == ["last run"]
    assert "NOINPUT" in found["last run"]
    assert "deploy the plugin NotThere" in found["plugin"]


def test_12_the_client_certificate_has_expired(agent: Agent, tmp_path: Path) -> None:
    """The day is told, before it is shown to anyone."""
    certificate, key = dated_pair(tmp_path, from_days=-20, to_days=-10)
    options = ["--cert", certificate, "--key", key, "--cacert", agent.ca]
    found = diagnose(agent, options=["--base-url", agent.base_url, *map(str, options)])
    assert found["problems"][0] == "credential"
    assert "it expired on 20" in found["credential"]


def test_12_the_agents_certificate_has_expired(agent: Agent, tmp_path: Path) -> None:
    """With a CA the handshake fails; without one the dates are looked at."""
    with HttpPeer([http_answer.ok({"status": "healthy"})], certificate="expired") as peer:
        options = ["--base-url", peer.base_url]
        assert "out of date: it expired" in diagnose(agent, options=options)["TLS"]
        options += ["--cacert", str(peer_ca(tmp_path))]
        assert "is refused" in diagnose(agent, options=options)["TLS"]


def test_the_exit_code_tells_what_was_not_seen(agent: Agent, file: Path) -> None:
    """Without a certificate the Admin tier is not seen, and without a run its end is a warning."""
    agent.jobs.add(document_of(file, id="never"))
    found = diagnose(agent, "--job", "never", options=["--base-url", agent.base_url])
    assert (found["unknowns"], found["problems"]) == (["credential"], [])
    assert found["warnings"] == ["last run", "log"]
    assert "has not run yet" in found["last run"]


def test_an_error_in_the_log_is_told(agent: Agent, file: Path) -> None:
    """Also one of an agent that writes text, in the folder of the field."""
    folder = agent.root / "Plugins" / "bin" / "KeeperLogger" / "Log"
    folder.mkdir(parents=True)
    text = "2026-11-26 09:00:00.123 +00:00 [INF] started\r\n2026-11-26 [ERR] job probe: no disk\r\n"
    (folder / "KeeperLogger_20261126.log").write_text(text)
    found = diagnose(agent, target(file))
    shutil.rmtree(folder)
    assert "log" in found["warnings"]
    assert "2026-11-26 job probe: no disk" in found["log"]


def test_wrong_use_is_told(agent: Agent, file: Path) -> None:
    """Exit 2, with what to give."""
    assert epm_task("doctor", file, "--job", "probe").exit_code == 2
    assert epm_task("doctor", "missing.py").exit_code == 2
    assert epm_task("doctor", file).exit_code == 2


def test_exit_codes_for_people() -> None:
    """Every code has a line with its name and meaning; the author's own come last."""
    lines = epm_task("exit-codes").out.splitlines()
    assert len(lines) == len(ExitCode) + 1
    for code, line in zip(ExitCode, lines, strict=False):
        number, name, meaning = line.split(maxsplit=2)
        assert (int(number), name, meaning) == (code.value, code.name, code.meaning)
    assert lines[-1].startswith("1-63")


def test_exit_codes_for_programs() -> None:
    """One JSON object."""
    document = json.loads(epm_task("exit-codes", "--json").out)
    assert {row["code"]: row["name"] for row in document["exit_codes"]} == {
        code.value: code.name for code in ExitCode
    }
    assert (document["author"]["first"], document["author"]["last"]) == (1, 63)
