"""A fleet does not start at one second, and two runs of a task need not overlap."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import PATIENCE
from peers.task_process import PROGRAMS

from epm_task.errors import DefinitionError
from epm_task.files import try_own
from epm_task.job.job import Job
from epm_task.job.task_file import read_task_file
from epm_task.runtime.admission import delay_of, machine_id, spread
from epm_task.runtime.invocation import read_invocation
from epm_task.runtime.task import task

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.simulator.background import StartedRun
    from epm_task.testing import Agent, Record

TASKS: dict[str, Any] = dict(read_task_file(PROGRAMS / "stateful.py").tasks)
SPREAD = TASKS["spread-out"]


def test_a_fleet_is_spread_evenly() -> None:
    """Of 100 000 machines each hundredth of the time gets its share, for every job."""
    for job in ("key-scanner", "reporter"):
        buckets = [0] * 100
        for number in range(100_000):
            at = spread(f"{number:032x}", job)
            assert 0 <= at < 1
            buckets[int(at * 100)] += 1
        assert sum(buckets) == 100_000
        # Of a binomial with p = 1/100 five standard deviations are 157.
        assert max(abs(count - 1000) for count in buckets) < 157


def test_a_machine_keeps_its_moment() -> None:
    """The same for the same job, another for another one."""
    assert spread("machine", "a") == spread("machine", "a")
    assert spread("machine", "a") != spread("machine", "b")
    assert spread("machine", "ab") != spread("machinea", "b")
    assert machine_id()
    assert machine_id() == machine_id()


@pytest.mark.parametrize(
    ("argv", "spread_minutes", "delayed"),
    [
        ([], 30, True),
        (["--started-by="], 30, True),
        (["--started-by=Finding"], 30, False),
        (["--no-spread"], 30, False),
        (["--no-spread=false"], 30, True),
        ([], None, False),
    ],
)
def test_who_started_the_run_decides(
    argv: list[str], spread_minutes: float | None, *, delayed: bool
) -> None:
    """A person or an event waits for the answer."""
    declaration = SPREAD.declaration._replace(spread_minutes=spread_minutes)
    found = delay_of(declaration, read_invocation((), argv, {}))
    assert (0 < found < 1800) is delayed
    assert found == (spread(machine_id(), "spread-out") * 1800 if delayed else 0)


def test_the_job_document_allows_for_the_delay() -> None:
    """The time-out covers it, and an event's name reaches the task."""
    document = Job(tasks=[SPREAD]).document()
    (step,) = document["tasks"]
    assert step["timeoutSeconds"] == 60 + 1800
    assert '--started-by="{eventType}"' in step["arguments"]
    entry = {"name": "eventType", "type": "string", "default": "", "required": False}
    assert document["parameters"] == [entry]


def _begun(box: Agent, minutes: float, arguments: list[str]) -> tuple[list[str], float, float]:
    """Return messages, delay and seconds of a run whose delay is some part of *minutes*."""
    text = (PROGRAMS / "stateful.py").read_text("utf-8")
    file = box.root / "short.py"
    file.write_text(text.replace("spread_minutes=30", f"spread_minutes={minutes}"), "utf-8")
    run = box.run(file, task="spread-out", arguments=arguments)
    assert run.exit_code == 0
    delays = [one.properties["seconds"] for one in run.records if one.message == "run_delayed"]
    return [one.message for one in run.records], sum(delays), run.seconds


def test_the_delay_is_named_first_and_counts_for_no_deadline(box: Agent) -> None:
    """A scheduled run waits for its turn, one that a person starts does not."""
    part = spread(machine_id(), "spread-out")
    messages, delay, seconds = _begun(box, 1.5 / part / 60, ["--no-spread=false"])
    assert messages == ["run_delayed", "begun"]
    assert delay == pytest.approx(1.5, abs=0.06)
    assert seconds > 1.5
    messages, delay, _ = _begun(box, 30, [])
    assert (messages, delay) == (["begun"], 0)


def test_a_scheduled_job_is_delayed_and_an_event_is_not(box: Agent) -> None:
    """As the agent starts them, from the document that the code makes."""
    part = spread(machine_id(), "spread-out")
    text = (PROGRAMS / "stateful.py").read_text("utf-8")
    short = f"spread_minutes={1.2 / part / 60}, events=['Finding']"
    file = box.root / "short.py"
    file.write_text(text.replace("spread_minutes=30", short), "utf-8")
    made = read_task_file(file).tasks["spread-out"]
    document = Job(tasks=[made]).document()
    document["parameters"] += [{"name": "File", "type": "string", "default": str(file)}]
    (step,) = document["tasks"]
    step["executablePath"] = sys.executable
    step["arguments"] = f'"{{File}}" {step["arguments"]} --ca-file="{box.ca}"'
    event = box.run_job(document, trigger="Finding", context={"eventType": "Finding"})
    scheduled = box.run_job(document, trigger="interval")
    assert [run.exit_code for run in (event, scheduled)] == [0, 0], scheduled.stderr
    assert [[one.message for one in run.records] for run in (event, scheduled)] == [
        ["begun"],
        ["run_delayed", "begun"],
    ]


@pytest.mark.wine_differs("it sends no CTRL_BREAK")
def test_a_stop_ends_the_wait(box: Agent) -> None:
    """In good order, with what was written on stderr: there is no broker yet."""
    delayed = threading.Event()

    def look(_stream: str, line: bytes) -> None:
        """Set the event."""
        if b'"run_delayed"' in line:
            delayed.set()

    started = box.start(SPREAD, arguments=["--no-spread=false"], on_line=look)
    assert delayed.wait(PATIENCE)
    started.terminate()
    run = started.wait()
    assert run.exit_code in {143, 149}
    assert b'"run_delayed"' in run.stderr


@pytest.mark.parametrize("minutes", [0, -1, 1441, float("nan"), True, "30"])
def test_a_spread_that_cannot_be_is_refused(minutes: Any) -> None:
    """When the module is imported."""
    with pytest.raises(DefinitionError, match="spread_minutes must be"):
        task(spread_minutes=minutes)(SPREAD.handler.function)


def test_an_overlap_that_does_not_exist_is_refused() -> None:
    """With those that do."""
    with pytest.raises(DefinitionError, match="overlap must be one of allow, skip, wait"):
        task(overlap="queue")(SPREAD.handler.function)  # type: ignore[call-overload]


def _started(box: Agent, name: str, message: str, until: Path) -> StartedRun:
    """Start a run that ends when a file is there; return when it has written *message*."""
    written = threading.Event()

    def look(record: Record) -> None:
        """Set the event."""
        if record.message == message:
            written.set()

    started = box.start(TASKS[name], parameters={"until": until}, on_record=look)
    assert written.wait(PATIENCE)
    return started


def test_a_second_run_is_skipped(box: Agent, tmp_path: Path) -> None:
    """It ends with 75 and one record; the next one runs again."""
    started = _started(box, "one-of-them", "begun", tmp_path / "go")
    second = box.run(TASKS["one-of-them"])
    (tmp_path / "go").touch()
    first = started.wait()
    assert (first.exit_code, second.exit_code) == (0, 75)
    assert [one.message for one in second.records] == ["task_failed"]
    assert b"another run of it goes on" in second.stderr
    assert box.run(TASKS["one-of-them"]).exit_code == 0


def test_a_second_run_waits(box: Agent, tmp_path: Path) -> None:
    """It says so, and begins when the first has ended."""
    first = _started(box, "one-after-another", "begun", tmp_path / "go")
    second = _started(box, "one-after-another", "waiting_for_other_run", tmp_path / "go")
    (tmp_path / "go").touch()
    ended = [started.wait() for started in (first, second)]
    assert [run.exit_code for run in ended] == [0, 0]
    messages = [one.message for one in ended[1].records]
    assert messages == ["waiting_for_other_run", "other_run_ended", "begun"]
    assert ended[1].records[-1].timestamp > ended[0].records[-1].timestamp


def test_a_killed_run_holds_nothing(box: Agent, tmp_path: Path) -> None:
    """The system takes the lock back."""
    started = _started(box, "one-of-them", "begun", tmp_path / "never")
    started.kill()
    started.wait()
    assert box.run(TASKS["one-of-them"]).exit_code == 0


@pytest.mark.posix("Windows does not fork")
def test_no_child_has_the_lock(tmp_path: Path) -> None:
    """A forked child that lives on keeps nobody out."""
    path = tmp_path / "lock"
    code = """
import os, sys, time
from epm_task.files import try_own
held = open(sys.argv[1], "w")
assert try_own(held.fileno())
if os.fork() == 0:
    time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            with path.open("r+b") as mine:
                assert not try_own(mine.fileno())
                process.kill()
                process.wait(PATIENCE)
                assert try_own(mine.fileno())
        finally:
            os.killpg(process.pid, 9)
