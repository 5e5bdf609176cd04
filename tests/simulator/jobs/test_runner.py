"""Tests of the job runner, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import BUSY, PATIENCE
from peers.task_process import STOP
from simulator.agent_process import add_program
from simulator.started_process import KILLED, STOPPED

from epm_task.admin.log_files import recent_runs
from epm_task.contract.layout import AgentRoot
from epm_task.errors import sentence
from epm_task.simulator.faults.faults import Faults
from epm_task.simulator.jobs.history import RunHistory
from epm_task.simulator.jobs.run import LiveRun, RunRequest
from epm_task.simulator.jobs.runner import JobRunner, agent_environment, skip_reason
from epm_task.simulator.jobs.store import JobStore
from epm_task.simulator.jobs.task import TaskSurroundings, Turns
from epm_task.simulator.keeper_logger import KeeperLogger
from epm_task.simulator.processes.registry import ProcessRegistry
from epm_task.simulator.root import create_root
from epm_task.simulator.settings import SettingsStore
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from epm_task.simulator.jobs.run import Run
    from epm_task.simulator.processes.registry import Verdict


SLEEP = f"import time\ntime.sleep({10 * PATIENCE})\n"
DEAF = f"import signal\nsignal.signal({STOP:d}, signal.SIG_IGN)\n{SLEEP}"
#: What follows is done until a file is there.
UNTIL_SEEN = "import os, time\nwhile not os.path.exists('seen'):\n    time.sleep(0.02)\n"

_SETTINGS = {"Scanner": {"on": "False", "off": "1"}, "KeeperPrivilegeManager": {"scan": "no"}}


class Box:
    """A job runner with what it needs, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = AgentRoot(folder)
        create_root(self.root)
        self.trace = Trace()
        self.registry = ProcessRegistry()
        self.faults = Faults()
        self.settings = SettingsStore(self.root.plugins, self.root.store, _SETTINGS)
        self.jobs = JobStore(self.root.jobs)
        self.logger = KeeperLogger(self.root.keeper_logger)
        self.history = RunHistory(self.root.run_history, self.logger, self.trace)
        self.conditions: dict[str, bool] = {}
        surroundings = TaskSurroundings(
            self.root,
            self.registry,
            self.trace,
            agent_environment(),
            grace_seconds=0.2,
            faults=self.faults,
            turns=Turns(),
        )
        self.runner = JobRunner(
            surroundings,
            base_url="https://127.0.0.1:6889",
            settings=self.settings,
            jobs=self.jobs,
            history=self.history,
            conditions=self.conditions,
        )

    def close(self) -> None:
        """Close the files."""
        self.history.close()
        self.logger.close()

    def program(self, name: str, text: str) -> dict[str, Any]:
        """Put a program in Python into `Jobs/bin/` and return a task that runs it."""
        add_program(self.root.path, name, text)
        return {"id": name, "command": name, "ExecutionType": "Service"}

    def ends(self, name: str, code: int = 0, said: str = "") -> dict[str, Any]:
        """Return a task that says something and ends."""
        said_by = f"sys.stdout.buffer.write({said.encode()!r})"
        return self.program(name, f"import sys\n{said_by}\nsys.exit({code})\n")

    def live(self, job: dict[str, Any], **request: Any) -> LiveRun:
        """Return a run that has not begun."""
        return LiveRun({"id": "job", **job}, RunRequest(trigger="test", **request))

    def run(self, job: dict[str, Any], **request: Any) -> Run:
        """Run a job to its end, in a loop of its own."""
        return asyncio.run(self.runner.run(self.live(job, **request)))

    def said(self, text: str) -> bool:
        """Return whether a decision in the trace, or its reason, holds *text*."""
        return any(text in str(event) for event in self.trace)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A runner with a short grace."""
    with contextlib.closing(Box(tmp_path)) as made:
        yield made


def test_one_task(box: Box) -> None:
    """Arguments are substituted; output, exit code and result are kept."""
    result, folder = "json.dumps(dict(zip('ab', sys.argv[1:])))", "os.getcwd(), file=sys.stderr"
    task = box.program("show", f"import json, os, sys\nprint({result})\nprint({folder})\n")
    task["arguments"] = '"{Root}" --api={KeeperApiBaseUrl}'
    job = {"parameters": [{"name": "Root", "required": True}], "tasks": [task]}
    run = box.run(job, context={"Root": "/a b"})
    assert run.exit_code == 0
    assert run.result == {"a": "/a b", "b": "--api=https://127.0.0.1:6889"}
    assert run.tasks[0].stderr.decode().splitlines() == [str(box.root.path)]
    assert 0 < run.tasks[0].seconds <= run.seconds
    assert [ended.run_id for ended in box.history.ended] == [run.run_id]


def test_many_starts_leave_time_for_the_others(box: Box) -> None:
    """Of twenty processes that are to be started at once, each is in a turn of the loop's own."""
    job = {"tasks": [box.ends("true")]}
    turns, found = 0, []
    box.trace.subscribe(lambda e: found.append(turns) if e.action == "process_started" else None)

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        counting = asyncio.create_task(count())
        await asyncio.gather(*(box.runner.run(box.live(job)) for _ in range(20)))
        counting.cancel()

    asyncio.run(main())
    assert len(set(found)) == len(found) == 20


@pytest.mark.parametrize(
    "topics", [{}, {"allowedPublications": []}, {"allowedPublications": ["x"]}]
)
def test_job_id_only_with_topics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, topics: dict[str, Any]
) -> None:
    """`KEEPER_JOB_ID` and `KEEPER_JOB_NAME` exist only when `mqttTopics` has an entry."""
    monkeypatch.setenv("KEEPER_JOB_ID", "of-another-agent")
    monkeypatch.setenv("KEEPER_TOKEN", "secret")
    monkeypatch.setenv("OTHER", "stays")
    with contextlib.closing(Box(tmp_path / "own")) as box:
        names = "sorted(name for name in os.environ if name.startswith(('KEEPER', 'OTHER')))"
        text = f"import os\nfor name in {names}:\n    print(name, os.environ[name], sep='=')\n"
        task = box.program("env", text)
        run = box.run({"name": "My Job", "mqttTopics": topics, "tasks": [task]})
    keeper = ["KEEPER_JOB_ID=job", "KEEPER_JOB_NAME=My Job"] if any(topics.values()) else []
    assert run.tasks[0].stdout.decode().splitlines() == [*keeper, "OTHER=stays"]


def test_failure_stops_unless_told_otherwise(box: Box) -> None:
    """`continueOnFailure` decides; the run's exit code is the first that is not 0."""
    tasks = [box.ends("one", 3), box.ends("two", 4), box.ends("three")]
    tasks[0]["continueOnFailure"] = True
    run = box.run({"tasks": tasks})
    assert [task.exit_code for task in run.tasks] == [3, 4]
    assert run.exit_code == 3
    assert box.said("continueOnFailure is false")


def test_result_is_merged_into_the_context(box: Box) -> None:
    """A later task sees the JSON fields of an earlier one, when the option asks for it."""
    tasks = [
        box.ends("find", said='{"File": "/x y", "n": 3}\n') | {"MergeStdoutJsonIntoContext": True},
        box.program("use", "import sys\nprint(sys.argv[1:])\n") | {"arguments": '"{File}" {n}'},
    ]
    assert box.run({"tasks": tasks}).tasks[1].stdout.strip() == b"['/x y', '3']"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ExecutionType": "User"}, "needs ExecutionType Service"),
        ({}, "not exactly one JSON object"),
    ],
)
def test_result_that_is_not_merged_is_explained(box: Box, change: dict[str, str], why: str) -> None:
    """The trace says why a merge that was asked for did not happen."""
    task = box.ends("find", said="plain\n") | {"MergeStdoutJsonIntoContext": True} | change
    box.run({"tasks": [task]})
    assert box.said(why)


def test_missing_program_is_127(box: Box) -> None:
    """A task whose binary is missing fails, and the trace says where it was looked for."""
    run = box.run({"tasks": [{"id": "t", "command": "no-such-program"}]})
    assert run.exit_code == 127
    assert run.tasks[0].pid is None
    place = box.root.jobs_bin / "no-such-program" / "no-such-program"
    assert box.said(f"no program at {place} nor on PATH")


def test_why_a_program_could_not_start_is_kept_and_said(box: Box) -> None:
    """The next task runs all the same, when the job says so; the reason is that of the run."""
    broken, good = box.ends("broken"), box.ends("good", 0)
    (box.root.jobs_bin / "broken" / "broken").write_bytes(b"#!/bin/sh\r\n")
    run = box.run({"tasks": [broken | {"continueOnFailure": True}, good]})
    assert [task.exit_code for task in run.tasks] == [126, 0]
    error = run.tasks[0].start_error
    assert error is not None
    windows = "#! lines are not read", "the extension of its interpreter"
    why, fix = windows if os.name == "nt" else ("ends with CRLF", "sed -i")
    assert why in error.why
    assert fix in error.fix
    assert (run.problem, run.exit_code) == (sentence(error.what, error.why, error.fix), 126)
    assert box.said(error.why)
    (ended,) = recent_runs(box.root.run_history, "job")
    assert ended is not None
    assert [task.start_error for task in ended.failures] == [error]


@pytest.mark.posix("Windows does not read #! lines")
def test_interpreter_that_finds_nothing_is_a_failed_start(box: Box) -> None:
    """The system has started `env`; the PATH that counts is that of the task."""
    task = box.ends("lost")
    (box.root.jobs_bin / "lost" / "lost").write_text("#!/usr/bin/env sh\n")
    run = box.run({"tasks": [task]}, env={"PATH": "/nowhere"})
    assert run.exit_code == 127
    assert run.tasks[0].start_error is not None
    assert "'sh' is not on PATH" in run.problem
    assert box.run({"tasks": [box.ends("own", 127)]}).problem == ""


def test_the_end_of_stderr_of_a_failed_task_is_kept_masked(box: Box) -> None:
    """Its last 4 KiB, also of more than is captured; of a task that ended well nothing."""
    words = "(b'x' * 99 + b'\\n') * 20_000 + " + repr("db_password=hunter2 äö\n".encode())
    text = f"import sys\nsys.stderr.buffer.write({words})\nsys.exit(int(sys.argv[1]))\n"
    task = box.program("words", text)
    run = box.run({"tasks": [task | {"arguments": "3"}]})
    tail = run.tasks[0].stderr_tail
    assert run.tasks[0].stderr_dropped > 0
    assert tail.endswith("x\ndb_password=******** äö\n")
    assert 3900 < len(tail.encode()) <= 4096
    (ended,) = recent_runs(box.root.run_history, "job")
    assert ended is not None
    assert ended.failures[0].stderr_tail == tail
    assert b"hunter2" not in box.root.run_history.read_bytes()
    assert box.run({"tasks": [task | {"arguments": "0"}]}).tasks[0].stderr_tail == ""


@pytest.mark.parametrize(
    "arguments",
    [pytest.param('"open', marks=pytest.mark.posix("Windows closes a quote at the end")), "{P}"],
)
def test_arguments_that_cannot_be_passed_are_126(box: Box, arguments: str) -> None:
    """A quote that is not closed, or a NUL character, keeps the task from starting."""
    task = box.ends("show") | {"arguments": arguments}
    run = box.run({"tasks": [task]}, context={"P": "a\0b"})
    assert run.exit_code == 126


def test_missing_parameter_keeps_the_run_from_starting(box: Box) -> None:
    """Nothing is run, and the problem is named."""
    job = {"parameters": [{"name": "P", "required": True}], "tasks": [box.ends("t")]}
    run = box.run(job)
    assert (run.exit_code, run.tasks) == (1, [])
    assert "parameter 'P' is required" in run.problem


def test_value_without_a_use_is_traced(box: Box) -> None:
    """The trace names it, and the parameter that was meant; a merged result has its own use."""
    job = {
        "parameters": [{"name": "Root"}],
        "tasks": [
            box.ends("first", said='{"Other": 1}\n') | {"MergeStdoutJsonIntoContext": True},
            box.ends("second") | {"arguments": "{Root} {Later}"},
        ],
    }
    run = box.run(job, context={"Rot": "/etc", "Later": "x", **{f"more{n}": n for n in range(9)}})
    (unused,) = [str(event) for event in run.trace if event.action == "unused"]
    assert "nothing takes Rot, more0, more1, more2, more3 of its context" in unused
    assert unused.endswith("did you mean Root?")


def test_undefined_token_is_traced(box: Box) -> None:
    """The token stays, and the trace names it."""
    task = box.program("show", "import sys\nprint(sys.argv[1])\n") | {"arguments": "{Nobody}"}
    assert box.run({"tasks": [task]}).tasks[0].stdout.strip() == b"{Nobody}"
    assert box.said("no value for {Nobody}")


def test_other_execution_types_are_traced(box: Box) -> None:
    """A task that wants another user runs as this one, and the trace says so."""
    task = box.ends("t") | {"ExecutionType": "UserDesktop"}
    assert box.run({"tasks": [task]}).exit_code == 0
    assert box.said("runs every task as its own user")


def test_timeout_asks_then_kills(box: Box) -> None:
    """A task that does not stop when it is asked is killed after the grace."""
    task = box.program("deaf", DEAF) | {"timeoutSeconds": 2}  # it is deaf before
    started = time.monotonic()
    run = box.run({"tasks": [task]})
    assert run.tasks[0].timed_out
    assert run.exit_code == KILLED
    assert time.monotonic() - started < 2.5 + BUSY
    assert box.said("ran longer than its 2 s")


def test_process_that_outlives_its_task_is_ended(box: Box) -> None:
    """What a task leaves running is ended and reported, outputs open or not."""
    text = f"""
import subprocess, sys
sleep = [sys.executable, "-c", "import time; time.sleep({10 * PATIENCE})"]
subprocess.Popen(sleep, stdout=sys.stdout, stderr=sys.stderr)
subprocess.Popen(sleep, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("done")
"""
    task = box.program("leave", text)
    started = time.monotonic()
    run = box.run({"tasks": [task]})
    assert run.exit_code == 0
    assert run.tasks[0].left_behind == 2
    assert run.tasks[0].stdout.strip() == b"done"
    assert time.monotonic() - started < PATIENCE / 2
    assert box.said("left processes behind")


def test_skipped_by_a_setting(box: Box) -> None:
    """A task whose plugin setting is false is not run, and the next one is."""
    box.settings.put("P", "on", "false", create=True)
    tasks = [
        box.ends("one", 1) | {"SkipWhenPluginSettingFalse": "P:on"},
        box.ends("two", said="two\n"),
    ]
    run = box.run({"tasks": tasks})
    assert (run.exit_code, len(run.tasks)) == (0, 2)
    assert "on of P is false" in run.tasks[0].skipped
    assert run.tasks[1].stdout == b"two\n"


def test_condition_is_reported_as_not_evaluated(box: Box) -> None:
    """A condition counts as met, unless the user says otherwise; then the alternative runs."""
    job = {"condition": {"x": 1}, "tasks": [box.ends("one", said="one\n")], "alternateJobId": "b"}
    assert box.run(job).tasks[0].stdout == b"one\n"
    assert box.said("condition not evaluated")
    box.conditions["job"] = False
    assert "no alternateJobId" in box.run(job).skipped
    box.jobs.put({"id": "b", "tasks": [box.ends("two", said="two\n")]})
    run = box.run(job)
    assert (run.job_id, run.tasks[0].stdout) == ("b", b"two\n")


def test_alternatives_in_a_circle(box: Box) -> None:
    """Two jobs that name each other end in a reason, not in a loop."""
    box.conditions |= {"job": False, "b": False}
    job = {"id": "job", "condition": {"x": 1}, "alternateJobId": "b"}
    box.jobs.put(job)
    box.jobs.put({"id": "b", "condition": {"x": 1}, "alternateJobId": "job"})
    assert "circle" in box.run(job).skipped


def test_os_filter(box: Box) -> None:
    """A job for other systems is skipped, one that does not name this system is not."""
    mine = {"linux": "linux", "darwin": "macOS", "win32": "windows"}[sys.platform]
    other = "linux" if mine == "windows" else "windows"
    tasks = [box.ends("one")]
    assert (
        box.run({"osFilter": {mine: False}, "tasks": tasks}).skipped == f"osFilter excludes {mine}"
    )
    assert not box.run({"osFilter": {other: False}, "tasks": tasks}).skipped


def judged(box: Box, reason: str, **request: Any) -> tuple[Run, Verdict]:
    """Run a program that goes on until the registry has *reason* for its verdict; return both."""
    seen: list[Verdict] = []

    def on_line(_: str, line: bytes) -> None:
        verdict = box.registry.judge(int(line))
        if reason in verdict.reason:
            seen.append(verdict)
            (box.root.path / "seen").touch()

    task = box.program("t", f"{UNTIL_SEEN}    print(os.getpid(), flush=True)\n")
    topics = {"allowedPublications": ["a"], "allowedSubscriptions": ["b"]}
    run = box.run({"mqttTopics": topics, "tasks": [task]}, on_line=on_line, **request)
    return run, seen[0]


def test_process_is_registered_while_it_runs(box: Box) -> None:
    """The registry knows the process with its topics from its start to its end."""
    run, verdict = judged(box, "was launched by this agent")
    launch = verdict.launch
    assert launch is not None
    assert (launch.pid, launch.run_id, launch.job_id) == (run.pid, run.run_id, "job")
    assert (launch.publications, launch.subscriptions) == (frozenset({"a"}), frozenset({"b"}))
    assert box.registry.candidates() == frozenset()


def test_registration_delay(box: Box) -> None:
    """The delay counts from the start of the process."""
    assert judged(box, "not registered yet", registration_delay=60)[1].launch is None


def test_lines_are_seen_as_they_come(box: Box) -> None:
    """A caller can follow both streams, while the task runs."""
    lines: list[tuple[str, bytes]] = []

    def on_line(*line: Any) -> None:
        lines.append(line)
        (box.root.path / "seen").touch()

    first, last = "print(os.environ['MINE'], flush=True)\n", "print('b', file=sys.stderr)\n"
    task = box.program("t", f"import os, sys\n{first}{UNTIL_SEEN}    pass\n{last}")
    box.run({"tasks": [task]}, on_line=on_line, env={"MINE": "x"})
    assert lines == [("stdout", b"x"), ("stderr", b"b")]


def test_runs_may_overlap_and_stop_ends_them(box: Box) -> None:
    """Two runs of one job go on at once; `stop` ends both, and no further task starts."""
    tasks = [box.program("long", f"print('on', flush=True)\n{SLEEP}"), box.ends("next")]
    tasks[0]["continueOnFailure"] = True

    async def main() -> None:
        both = asyncio.Barrier(3)
        waiting: list[asyncio.Task[object]] = []

        def on_line(*_: object) -> None:
            waiting.append(asyncio.create_task(both.wait()))

        job = {"tasks": tasks}
        ids = {box.runner.start(box.live(job, on_line=on_line)) for _ in range(2)}
        assert len(ids) == 2
        await both.wait()
        await box.runner.stop()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert [len(run.tasks) for run in box.history.ended] == [1, 1]
    assert {run.tasks[0].exit_code for run in box.history.ended} <= STOPPED
    assert box.said("the agent stops")


def test_stop_ends_a_process_that_is_just_being_started(box: Box) -> None:
    """The run is under way and its process not known yet: it is ended as soon as it is."""
    task = box.program("long", DEAF)

    async def stop_at_once() -> LiveRun:
        live = box.live({"tasks": [task]})
        box.runner.start(live)
        while live not in box.history.live:  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0)
        assert live.process is None
        async with asyncio.timeout(PATIENCE):
            await box.runner.stop()
        return live

    live = asyncio.run(stop_at_once())
    assert not box.history.live
    (ended,) = live.run.tasks
    assert ended.exit_code in {KILLED, *STOPPED}


def test_cancelled_run_leaves_no_process(box: Box) -> None:
    """Who stops waiting for a run does not leave it running."""

    async def main() -> None:
        live = box.live({"tasks": [box.program("t", SLEEP)]})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(box.runner.run(live), 0.2)
        assert live.process is not None
        assert await live.process.exited() == KILLED

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "program", "exit_codes"),
    [
        ("run kill_after=0.05", SLEEP, {KILLED}),
        ("run term_after=0.05", SLEEP, STOPPED),
        ("registration never", "", {0}),
    ],
)
def test_faults(box: Box, fault: str, program: str, exit_codes: set[int]) -> None:
    """A fault reaches the process, and the trace says so."""
    box.faults.add(fault)
    run = box.run({"tasks": [box.program("t", program)]})
    assert run.exit_code in exit_codes
    assert box.said("fault: SIG") or any(
        e.facts.get("registration_delay") == "inf" for e in box.trace
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux sets a limit from outside")
def test_disk_full(box: Box) -> None:
    """No byte can be added to a file; pipes still work."""
    box.faults.add("run disk_full")
    text = (
        "import resource, sys, time\n"
        "while resource.getrlimit(resource.RLIMIT_FSIZE)[0] < 0: time.sleep(0.01)\n"
        "try:\n    open('x', 'w', buffering=1).write('a\\n')\n"
        "except OSError as error:\n    print(error.strerror)"
    )
    assert box.run({"tasks": [box.program("t", text)]}).tasks[0].stdout == b"File too large\n"


def test_lost_registration(box: Box) -> None:
    """A registration can get lost while the process lives."""
    box.faults.add("registration lost=0.0")
    assert judged(box, "was lost")[1].launch is None


@pytest.mark.parametrize(
    ("named", "skipped"),
    [
        (None, False),
        ("Scanner:on", True),
        ("Scanner:off", False),
        ("Scanner:absent", False),
        ("Absent:on", False),
        ("scan", True),
        ({"plugin": "Scanner", "setting": "on"}, True),
        ({"settingName": "scan"}, True),
    ],
)
def test_forms(box: Box, named: object, skipped: bool) -> None:  # noqa: FBT001 - a table of cases
    """Only a setting that exists and is false skips the task."""
    reason = skip_reason({"SkipWhenPluginSettingFalse": named}, box.settings)
    assert bool(reason) is skipped


def test_who_waits_starts_by_priority_then_by_arrival() -> None:
    """One that comes later goes before those of a lower priority that still wait."""
    turns, order = Turns(), list[str]()
    tasks: list[asyncio.Task[None]] = []

    async def start(name: str, priority: int) -> None:
        await turns.mine(priority)
        order.append(name)
        if name == "a":
            tasks.append(asyncio.create_task(start("late", 9)))

    async def main() -> None:
        waiting = [("low", 1), ("b", 5), ("gone", 10), ("a", 10), ("c", 5)]
        tasks.extend(asyncio.create_task(start(*each)) for each in waiting)
        await asyncio.sleep(0)
        tasks[2].cancel()
        async with asyncio.timeout(PATIENCE):
            while not all(task.done() for task in tasks):
                await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    # While "late" is being started, "b" has its turn already.
    assert order == ["a", "b", "late", "c", "low"]
