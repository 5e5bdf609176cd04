"""Tests of `epm-task run` as a whole: the real command, as a process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli.command import EXAMPLES, HELLO, epm_task, line, shell_script, task_file
from cli.command_line import epm_task as in_process
from peers.patience import STARTING

from epm_task.cli.run import document, exit_code_of, hints, nothing_ran, summary
from epm_task.contract.program_text import program_text
from epm_task.simulator.jobs.run import Registration
from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.testing import Run


SUMMARY = re.compile(
    r"registered after 1 try, \d+ ms; (\d+) records? acknowledged; \d+\.\d\d s; exit (.+)"
)

#: The exit codes of a program that does not handle the event or the signal by which it is asked
#: to stop; Wine sends no such event, and it is killed.
ENDED_BY_THE_AGENT = {0xC000013A, 137} if os.name == "nt" else {143}

TWO = '''
from epm_task import task

@task
def one() -> dict[str, str]:
    """Be one."""
    return {"task": "one"}

@task
def number_two() -> dict[str, str]:
    """Be two."""
    return {"task": "two"}

if __name__ == "__main__":
    one.main()
'''


def test_newcomers_first_command(tmp_path: Path) -> None:
    """Stdout is exactly one JSON line, stderr has the record, the summary is the last line."""
    (tmp_path / "a.pem").write_text("x")
    ended = epm_task("run", EXAMPLES / "key_scanner.py", "--", "--root", tmp_path)
    assert (ended.code, ended.out) == (0, '{"found":1}\n')
    record, summary = ended.err
    clock = r"\d\d:\d\d:\d\d\.\d{3}"
    told = re.escape(f"  Info      scan_finished  root={tmp_path}  found=1")
    assert re.fullmatch(clock + told, record)
    found = SUMMARY.fullmatch(summary)
    assert found
    assert found.groups() == ("1", "0 (OK)")


def test_authors_exit_code() -> None:
    """The command ends with the task's own exit code, and the summary names it."""
    ended = epm_task("run", EXAMPLES / "own_exit_code.py")
    assert (ended.code, ended.out) == (3, "")
    found = SUMMARY.fullmatch(ended.err[-1])
    assert found
    assert found[2] == "3 (the author's own)"
    assert any(line.startswith("epm_task: exit 3") for line in ended.err)


@pytest.mark.posix("no signal ends a process of Windows")
def test_killed_task(tmp_path: Path) -> None:
    """A task that is killed by a signal gives 128 plus its number, as in a shell."""
    file = task_file(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    ended = epm_task("run", file)
    assert ended.code == 137
    assert ended.err[-1].endswith("exit -9 (signal 9)")


def test_timeout(tmp_path: Path) -> None:
    """The agent ends what takes longer than `--timeout`, and the summary says so."""
    file = task_file(tmp_path, "import time\ntime.sleep(60)\n")
    ended = epm_task("run", file, "--timeout", "0.3")
    assert ended.code in ENDED_BY_THE_AGENT
    assert ended.err[-1].endswith("ended by the agent at its time-out")


SLOW = """
from epm_task import TaskContext, task

@task
def slow(ctx: TaskContext) -> None:
    \"\"\"Wait.\"\"\"
    ctx.stopping.wait(60)

if __name__ == "__main__":
    slow.main()
"""


def test_stacks_at_the_deadline(tmp_path: Path) -> None:
    """They are shown as a traceback, once."""
    ended = epm_task("run", task_file(tmp_path, SLOW), "--", f"--deadline={STARTING}")
    assert ended.code == 124
    lines = ("    MainThread:", "        slow.main()")
    assert [ended.err.count(line) for line in lines] == [1, 1]
    assert "stacks=" not in "\n".join(ended.err)


def test_settings_from_file_and_option(tmp_path: Path) -> None:
    """An option beats the file; dotted keys nest; a value may hold `=`; the secret stays hidden."""
    file = tmp_path / "settings.json"
    plugin = {"schedule.start_hour": 1, "schedule.end_hour": "2", "api_token": "s3cret=x"}
    file.write_text(json.dumps({"TempCleaner": {**plugin, "keep_days": 5}}))
    words = ["--settings", file, "--setting", "TempCleaner.schedule.start_hour=4"]
    words += ["--setting", "TempCleaner.keep_days=9"]
    ended = epm_task("run", EXAMPLES / "typed_settings.py", *words)
    assert json.loads(ended.out) == {"keep_days": 9}
    assert 'hours="4 to 2"' in ended.err[0]
    assert "s3cret" not in "\n".join(ended.err)


def test_registration_delay() -> None:
    """The task waits for its registration, and the summary tells how long."""
    ended = epm_task("run", HELLO, "--registration-delay", STARTING)
    assert ended.code == 0
    found = re.search(r"after (\d+) tries, (\d+) ms", ended.err[-1])
    assert found
    tries, milliseconds = found.groups()
    assert int(tries) > 1
    assert int(milliseconds) >= STARTING * 1000


def test_job_id() -> None:
    """The job's id is the one asked for; one with an underscore is refused with the reason."""
    report = json.loads(
        epm_task(
            "run",
            EXAMPLES / "key_scanner.py",
            "--job-id",
            "other",
            "--json",
            "--",
            "--root",
            EXAMPLES,
        ).out
    )
    assert {record["job_id"] for record in report["records"]} == {"other"}
    ended = epm_task("run", HELLO, "--job-id", "bad_id")
    assert ended.code == 64
    assert "underscore" in "\n".join(ended.err)


def test_no_broker() -> None:
    """Without topics the records are on stderr, and one warning explains `mqttTopics`."""
    ended = epm_task("run", EXAMPLES / "key_scanner.py", "--no-broker", "--", "--root", EXAMPLES)
    assert ended.code == 0
    assert "mqttTopics" in ended.err[0]
    assert any("scan_finished" in line for line in ended.err)
    assert "0 records acknowledged" in ended.err[-1]


def test_denied_topic() -> None:
    """The task ends well, and the denial that it could not see is shown once, with its count."""
    topic = "Jobs/key-scanner/findings"
    ended = epm_task("run", "examples/publish_findings.py", "--deny", topic, cwd=EXAMPLES.parent)
    assert ended.code == 0
    count = json.loads(ended.out)["found"]
    (denied,) = [line for line in ended.err if line.startswith("denied, unseen by the task")]
    assert topic in denied
    assert "allowedPublications" in denied
    assert denied.endswith(f"({count} times)")


def test_unsigned_program() -> None:
    """The broker refuses it; the line for people tells what would be admitted, and that is so."""
    refused = epm_task("run", HELLO, "--trust", "signed")
    assert refused.code == 69
    assert "sign its program" in "\n".join(refused.err)
    (denied,) = [line for line in refused.err if line.startswith("denied, unseen by the task")]
    found = re.search(r"--setting (\S+) hold its SHA-256, ([0-9a-f]{64})$", denied)
    assert found
    words = ["--setting", "=".join(found.groups())]
    assert epm_task("run", HELLO, "--trust", "signed", *words).code == 0
    other = epm_task("run", HELLO, "--trust", "sign")
    assert other.code == 2
    assert "exact, tree, signed" in "\n".join(other.err)


def test_report_for_programs() -> None:
    """With `--json` stdout is one JSON object, and stderr is empty."""
    ended = epm_task("run", EXAMPLES / "own_exit_code.py", "--json")
    report = json.loads(ended.out)
    assert (ended.code, ended.err, ended.out.count("\n")) == (3, [], 1)
    assert (report["exit_code"], report["exit_name"]) == (3, "the author's own")
    assert report["result"] is None
    assert [record["message"] for record in report["records"]] == ["disk_measured", "task_failed"]
    assert report["records"][0]["level"] == "Information"
    assert report["acknowledged"] == 2
    assert report["registration"]["tries"] == 1
    assert report["denials"] == []
    assert report["stderr"][0].startswith("epm_task: exit 3")


def test_verbose_shows_the_agents_decisions() -> None:
    """With `-v` each decision of the agent is among the records."""
    ended = epm_task("run", HELLO, "-v")
    agent = [line for line in ended.err if line.startswith("agent: ")]
    assert any("GET /api/PluginSettings/KeeperPrivilegeManager -> 200" in line for line in agent)


def test_several_tasks(tmp_path: Path) -> None:
    """FILE:TASK chooses one; without a name the error lists them all."""
    file = task_file(tmp_path, TWO)
    assert json.loads(epm_task("run", f"{file}:number_two").out) == {"task": "two"}
    ended = in_process("run", file)
    assert (ended.exit_code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("epm-task: ")
    assert "one, number-two" in ended.err
    assert "FILE:TASK" in ended.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            TWO[: TWO.index("def number_two") - 6],
            ["never called main()", 'if __name__ == "__main__": one.main()'],
            id="no main",
        ),
        pytest.param(
            TWO[: TWO.index("@task\ndef number_two")] + "if __name__ == 'main':\n    one.main()\n",
            ["never called main()", 'if __name__ == "__main__": one.main()'],
            id="never reached",
        ),
        pytest.param("print('a')\nprint('b')\n", ["holds none", "@task"], id="no task"),
        pytest.param("", ["holds none", "@task"], id="empty"),
    ],
)
def test_file_that_runs_no_task(tmp_path: Path, text: str, words: list[str]) -> None:
    """Nothing ran, so nothing is fine: 64 with the line to add, for people and for programs."""
    file = task_file(tmp_path, text)
    ended = epm_task("run", file)
    assert ended.code == 64
    problem, summary = ended.err[-2:]
    assert problem.startswith(f"epm-task: {file} ran no task: ")
    assert all(word in problem for word in words)
    assert summary.endswith("; exit 64 (USAGE)")
    report = json.loads(epm_task("run", file, "--json").out)
    assert (report["exit_code"], report["exit_name"]) == (64, "USAGE")
    assert report["problem"] == problem.removeprefix("epm-task: ")


@pytest.mark.parametrize("option", ["--help", "--version", "--selftest"])
def test_question_to_the_program_is_no_failure(option: str) -> None:
    """A task that is asked for information runs nothing, and ends well."""
    ended = epm_task("run", HELLO, "--", option)
    assert (ended.code, bool(ended.out)) == (0, True)


def test_output_that_is_no_result(tmp_path: Path) -> None:
    """What a program prints is passed on as it is; a hint says that it is not a result."""
    ended = epm_task("run", shell_script(tmp_path, "echo a; echo b", "echo a\necho b"))
    assert (ended.code, ended.out) == (0, f"a{os.linesep}b{os.linesep}")
    assert "stdout is not one JSON object" in ended.err[-2]


PUBLISHER = """
from epm_task import TaskContext, Topic, task

NEWS = Topic("Jobs/publisher/news")


@task(publishes=[NEWS])
def publisher(ctx: TaskContext) -> None:
    ctx.publish(NEWS, {"found": 1, "text": "\\x1b[31m\\u00e9"})
    ctx.log.info("between")
    ctx.publish(NEWS, {"found": 2})


if __name__ == "__main__":
    publisher.main()
"""


def test_what_a_task_publishes_is_seen(tmp_path: Path) -> None:
    """Publications are shown as they come, and are in the report; denied ones are denials."""
    file = task_file(tmp_path, PUBLISHER)
    topic = "Jobs/publisher/news"
    first, record, second, _ = epm_task("run", file).err
    assert first == f'published on {topic}  {{"found": 1, "text": "\\u001b[31m\\u00e9"}}'
    assert ("between" in record, second) == (True, f'published on {topic}  {{"found": 2}}')
    report = json.loads(epm_task("run", file, "--json").out)
    payloads = [{"found": 1, "text": "\x1b[31m\u00e9"}, {"found": 2}]
    assert report["messages"] == [{"topic": topic, "payload": payload} for payload in payloads]
    report = json.loads(epm_task("run", file, "--deny", topic, "--json").out)
    assert (report["messages"], len(report["denials"])) == ([], 2)


def test_program_of_another_kind(tmp_path: Path) -> None:
    """A shell script runs too, with the arguments of the runtime and those after `--`."""
    posix = """printf '{"last":"%s"}' "$4\""""
    windows = ':next\nset last=%~1\nshift\nif not "%~1"=="" goto next\necho {"last":"%last%"}'
    file = shell_script(tmp_path, posix, windows)
    ended = epm_task("run", file, "--", "x", "y z")
    assert json.loads(ended.out) == {"last": "y z"}


@pytest.mark.posix("#! lines are of POSIX")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\r\necho\r\n", ["ends with CRLF", "sed -i"]),
        ("#!/no/such/interpreter\n", ["its interpreter /no/such/interpreter", "install it"]),
        ("hello\n", ["text without a #! line", "begin it with"]),
    ],
)
def test_program_that_cannot_start(tmp_path: Path, text: str, words: list[str]) -> None:
    """What, why and the fix, without -v; the same is in the report."""
    file = tmp_path / "program"
    file.write_text(text, newline="")
    file.chmod(0o755)
    ended = epm_task("run", file)
    assert (ended.code, ended.out) == (126, "")
    *_, reason, last = ended.err
    assert all(word in reason for word in [f"epm-task: {file} cannot be executed", *words])
    assert last.startswith("never started; ")
    report = json.loads(epm_task("run", file, "--json").out)
    assert (report["exit_code"], f"epm-task: {report['problem']}") == (126, reason)


def test_two_runs_at_once(tmp_path: Path) -> None:
    """Each has its own agent on its own ports."""
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda name: epm_task("run", HELLO, "--", "--name", name), "ab"))
    assert [json.loads(run.out)["greeting"] for run in runs] == ["Hello a", "Hello b"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/full")
def test_full_disk_below_stdout() -> None:
    """A result that cannot be printed is an error of the surroundings, told in one line."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(line("run", HELLO), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_faults_of_file_and_command_line(tmp_path: Path) -> None:
    """Both hold: two refusals of the API, and a broker that lets nobody in."""
    file = task_file(tmp_path, "[[api]]\nstatus = 403\ntimes = 2\n", "faults.toml")
    report = json.loads(
        epm_task("run", HELLO, "--faults", file, "--fault", "broker refuse", "--json").out
    )
    assert report["registration"]["tries"] == 3
    assert (report["exit_code"], report["exit_name"]) == (69, "UNAVAILABLE")
    assert "refused the client id" in report["stderr"][-1]


def test_record_then_replay(tmp_path: Path) -> None:
    """A recording answers a second run, with the settings of the first; secrets are masked."""
    recording = tmp_path / "recording.jsonl"
    example = EXAMPLES / "typed_settings.py"
    words = ["--setting", "TempCleaner.keep_days=9", "--setting", "TempCleaner.api_token=s3cret"]
    assert epm_task("run", example, *words, "--record", recording).code == 0
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"api", "mqtt"}
    assert "s3cret" not in recording.read_text()
    again = epm_task("run", example, "--replay", recording)
    assert (again.code, json.loads(again.out)) == (0, {"keep_days": 9})


@pytest.mark.skipif(
    not shutil.which("unshare") or os.geteuid() != 0, reason="only root of Linux can hide /proc"
)
def test_without_processes_to_see() -> None:
    """An agent that cannot know its tasks says why, and not that a document is wrong."""
    hide = 'mount -t tmpfs none /proc && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", hide, "sh", *map(str, line("run", HELLO))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr or "permission denied" in done.stderr:
        pytest.skip("a container may forbid it")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/proc is not mounted; mount it: mount -t proc proc /proc" in done.stderr


def test_broken_recording(tmp_path: Path) -> None:
    """A file that is not a recording is refused with its line, before the task starts."""
    line = '{"kind": "mqtt", "at": 0, "topic": "t"}'
    file = task_file(tmp_path, f"{line}\n{{broken\n", "recording.jsonl")
    ended = epm_task("run", HELLO, "--replay", file)
    assert (ended.code, ended.out, len(ended.err)) == (1, "", 1)
    assert "recording.jsonl, line 2" in ended.err[0]


def test_trace(tmp_path: Path) -> None:
    """The decisions of the run are JSON lines, with relative paths below the caller's folder."""
    assert epm_task("run", HELLO, "--trace", "trace.jsonl", cwd=tmp_path).code == 0
    events = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert all(
        event.keys() == {"at", "kind", "action", "what", "denied", "reason", "facts"}
        for event in events
    )
    assert any("KeeperPrivilegeManager -> 200" in event["what"] for event in events)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run of a small program that is not a task."""
    file = task_file(tmp_path_factory.mktemp("program"), "import os; os.write(2, b'\\xff a\\n')")
    with Agent() as agent:
        yield agent.run(file)


def _with(run: Run, **changes: Any) -> Run:
    """Return the run as it would be had its task ended otherwise."""
    return replace(run, tasks=[replace(run.tasks[0], **changes)])


@pytest.mark.parametrize(("code", "seen"), [(0, 0), (3, 3), (143, 143), (-9, 137), (-15, 143)])
def test_exit_code(run: Run, code: int, seen: int) -> None:
    """A signal becomes 128 plus its number; all else stays."""
    assert exit_code_of(_with(run, exit_code=code)) == seen


@pytest.mark.parametrize(
    ("tries", "seconds", "acknowledged", "text"),
    [
        (0, None, 0, "never registered (0 tries); 0 records acknowledged"),
        (1, 0.0414, 1, "registered after 1 try, 41 ms; 1 record acknowledged"),
        (4, 1.5, 12, "registered after 4 tries, 1500 ms; 12 records acknowledged"),
    ],
)
def test_summary(run: Run, tries: int, seconds: float | None, acknowledged: int, text: str) -> None:
    """The summary counts in proper English."""
    registration = replace(run.registration, tries=tries, seconds=seconds)
    failed = _with(run, exit_code=77)
    line = summary(replace(failed, registration=registration, acknowledged=acknowledged))
    assert line.startswith(f"{text}; ")
    assert line.endswith(" s; exit 77 (NOPERM)")


def test_hints(run: Run) -> None:
    """A run that printed something else than a result gets a hint, unless it failed."""
    assert hints(run) == []
    assert hints(_with(run, exit_code=1, stdout=b"x")) == []
    assert hints(_with(run, stdout=b" \n")) == []
    assert len(hints(_with(run, stdout=b"x"))) == 1
    assert hints(_with(run, stdout=b"{}", result={})) == []


def test_run_that_ran_nothing(run: Run) -> None:
    """Only a Python file that ended well, and never asked for settings, has run nothing."""
    file = Path("task.py")
    assert "holds none" in nothing_ran(run, file, None, [])
    assert nothing_ran(run, Path("task"), None, []) == ""
    assert nothing_ran(run, file, None, ["--help"]) == ""
    assert nothing_ran(replace(run, registration=Registration(1, 0.1)), file, None, []) == ""
    assert nothing_ran(_with(run, exit_code=1), file, None, []) == ""


def test_document_is_json(run: Run) -> None:
    """Output that is not UTF-8 does not break the report."""
    assert json.loads(json.dumps(document(run)))["exit_code"] == 0
    assert document(run)["stderr"] == [program_text(b"\xff a")]
