"""The one-way doors: names that scripts, jobs and tests of users rely on, as literal sets.

A test here fails when a name changes. A new name is added to its set; one that was released stays.
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest
from cli.command_line import epm_task, loaded

from epm_task import pytest_plugin, testing
from epm_task.cli import output as failure
from epm_task.cli.run import document
from epm_task.contract.progress import Progress
from epm_task.contract.run_history import EndedRun, FailedTask
from epm_task.simulator.options import AgentKeywords, AgentOptions, RunKeywords
from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The options of every verb, `--help` left out.
OPTIONS = {
    "new": {
        "--answer",
        "--into",
        "--json",
        "--no-input",
        "--output-dir",
        "--templates",
        "-o",
    },
    "upgrade": {
        "--answer",
        "--json",
        "--templates",
    },
    "run": {
        "--console",
        "--deny",
        "--fault",
        "--faults",
        "--job-id",
        "--json",
        "--no-broker",
        "--record",
        "--registration-delay",
        "--replay",
        "--state",
        "--setting",
        "--settings",
        "--timeout",
        "--trace",
        "--trust",
        "--verbose",
        "--watch",
        "-v",
    },
    "agent": {
        "--certificate",
        "--condition",
        "--console",
        "--console-port",
        "--deny-visibly",
        "--fault",
        "--faults",
        "--http-port",
        "--https-port",
        "--json",
        "--log-level",
        "--mqtt-port",
        "--record",
        "--registration-delay",
        "--root",
        "--setting",
        "--settings",
        "--stable-ca",
        "--trace",
        "--trust",
        "--verbose",
        "-v",
    },
    "job": {
        "--agent-root",
        "--check",
        "--json",
        "--os",
        "--output",
        "--schema",
        "-o",
    },
    "validate": {
        "--base-url",
        "--cacert",
        "--cert",
        "--ignore",
        "--json",
        "--key",
        "--live",
        "--sarif",
        "--select",
    },
    "explain": {
        "--json",
        "--markdown",
    },
    "freeze": {
        "--backend",
        "--command",
        "--data",
        "--exclude",
        "--include",
        "--json",
        "--onefile",
        "--output",
        "--python",
        "--setting",
        "--sign-command",
        "--start-tolerance",
        "--verify",
        "-o",
    },
    "verify": {
        "--json",
        "--setting",
        "--settings",
        "--source",
        "--start-tolerance",
    },
    "verify-install": {
        "--json",
    },
    "doctor": {
        "--agent-root",
        "--base-url",
        "--broker",
        "--cacert",
        "--cert",
        "--job",
        "--json",
        "--key",
    },
    "runs list": {"--agent-root", "--job", "--json", "--limit"},
    "runs show": {"--agent-root", "--job", "--json"},
    "runs logs": {"--agent-root", "--job", "--json"},
    "runs tail": {"--agent-root", "--job", "--json"},
    "publish": {"--base-url", "--broker", "--cacert", "--cert", "--json", "--key"},
    "runs state": {"--agent-root", "--json", "--state"},
    "runs rerun": {
        *("--agent-root", "--base-url", "--cacert", "--cert", "--job", "--json", "--key"),
    },
    "exit-codes": {
        "--json",
    },
    "jobs list": {
        "--base-url",
        "--cacert",
        "--cert",
        "--json",
        "--key",
    },
    "jobs get": {
        "--base-url",
        "--cacert",
        "--cert",
        "--json",
        "--key",
    },
    "jobs apply": {
        "--base-url",
        "--cacert",
        "--cert",
        "--dry-run",
        "--json",
        "--key",
    },
    "jobs delete": {
        "--base-url",
        "--cacert",
        "--cert",
        "--json",
        "--key",
        "--yes",
        "-y",
    },
    "jobs validate": {
        "--base-url",
        "--cacert",
        "--cert",
        "--json",
        "--key",
    },
    "jobs trigger": {
        "--agent-root",
        "--base-url",
        "--broker",
        "--cacert",
        "--cert",
        "--json",
        "--key",
        "--log",
        "--timeout",
        "--wait",
    },
    "jobs run": {
        "--base-url",
        "--cacert",
        "--cert",
        "--json",
        "--key",
    },
    "jobs reload": {
        "--base-url",
        "--cacert",
        "--cert",
        "--json",
        "--key",
    },
    "deploy plan": {
        "--agent-root",
        "--base-url",
        "--cacert",
        "--cert",
        "--detailed-exitcode",
        "--json",
        "--key",
    },
    "deploy apply": {
        "--agent-root",
        "--base-url",
        "--cacert",
        "--cert",
        "--dry-run",
        "--json",
        "--keep",
        "--key",
        "--timeout",
        "--trigger",
        "--yes",
        "-y",
    },
    "deploy rollback": {
        "--agent-root",
        "--base-url",
        "--cacert",
        "--cert",
        "--dry-run",
        "--json",
        "--keep",
        "--key",
        "--to",
        "--yes",
        "-y",
    },
    "deploy status": {
        "--agent-root",
        "--json",
    },
    "deploy policy": {
        "--action",
        "--base",
        "--check",
        "--dry-run",
        "--json",
        "--output",
        "-o",
    },
}

AGENT_KEYWORDS = {
    "trust",
    "registration_delay",
    "log_level",
    "host",
    "https_port",
    "http_port",
    "mqtt_port",
    "deny_visibly",
    "stable_ca",
    "certificate",
    "client_id_template",
    "bare_values",
    "console_port",
    "state_folder",
    "grace_seconds",
    "settings",
    "conditions",
    "environ",
    "faults",
    "start_time",
    "trace_file",
    "record_file",
    "replay_file",
}
RUN_KEYWORDS = {
    "parameters",
    "arguments",
    "task",
    "job",
    "timeout",
    "registration_delay",
    "env",
    "cwd",
    "on_line",
    "on_record",
    "on_message",
}

#: Prints the names of its arguments and of its variables as one JSON object.
PROBE = """
import json, os, sys
options = [word.partition("=")[0] for word in sys.argv[1:]]
print(json.dumps({"options": options, "keeper": {
    name: text for name, text in os.environ.items() if name.startswith("KEEPER_")}}))
"""


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """One agent for this module."""
    with Agent() as running:
        yield running


def options_of(command: Any) -> set[str]:
    """Return the options of a verb, without `--help`."""
    found = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    return {name for name in found if name.startswith("-")} - {"-h", "--help"}


def verbs_of(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the verbs of a group and of the groups in it, by what is typed."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs_of(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def test_verbs() -> None:
    """No verb is renamed."""
    group: Any = loaded()
    assert dict(verbs_of(group)).keys() == OPTIONS.keys()
    assert options_of(group) >= {"--version", "--verbose", "-v"}


@pytest.mark.parametrize("verb", OPTIONS)
def test_options(verb: str) -> None:
    """The options of a verb are exactly these."""
    group: Any = loaded()
    assert options_of(dict(verbs_of(group))[verb]) == OPTIONS[verb]


def test_exit_codes_of_the_command_line() -> None:
    """1 is a no, 2 is a wrong question; all others are the task's own."""
    assert (failure.FAILED, failure.WRONG_USE) == (1, 2)


def test_fields_of_a_run_report(agent: Agent, tmp_path: Path) -> None:
    """`epm-task run --json` has these fields, whatever the task did."""
    file = tmp_path / "said.py"
    file.write_text(
        "from epm_task import TaskContext, Topic, task\n\nNEWS = Topic('Jobs/said/news')\n\n\n"
        "@task(publishes=[NEWS])\ndef said(ctx: TaskContext):\n    '''Say.'''\n"
        "    ctx.log.info('said')\n    ctx.publish(NEWS, {})\n\n\n"
        "if __name__ == '__main__':\n    said.main()\n"
    )
    topics = {"allowedPublications": ["KeeperLogger"], "allowedSubscriptions": []}
    report = document(agent.run(file, job={"mqttTopics": topics}))
    assert report.keys() == {
        "exit_code",
        "exit_name",
        "problem",
        "result",
        "registration",
        "acknowledged",
        "seconds",
        "timed_out",
        "records",
        "messages",
        "denials",
        "stderr",
    }
    assert report["registration"].keys() == {"tries", "seconds"}
    assert report["records"][0].keys() == {
        "message",
        "level",
        "timestamp",
        "source",
        "job_id",
        "job_name",
        "run_id",
        "seq",
        "span_id",
        "trace_id",
        "properties",
        "source_channel",
    }
    expected = {"at", "kind", "action", "what", "denied", "reason", "facts"}
    assert report["denials"][0].keys() == expected


def test_fields_of_the_run_history(agent: Agent, tmp_path: Path) -> None:
    """Each line of `Log/runs.jsonl` has these fields; `jobs trigger --wait` shows some of them."""
    file = tmp_path / "empty"
    file.write_text("")
    file.chmod(0o755)
    agent.run(file)
    line = json.loads((agent.root / "Log" / "runs.jsonl").read_text().splitlines()[-1])
    assert line.keys() == {
        "id",
        "jobId",
        "trigger",
        "ended",
        "exitCode",
        "seconds",
        "skipped",
        "problem",
        "result",
        "tasks",
        "denials",
        "context",
        "records",
        "recordRuns",
        "published",
        "messages",
        "registration",
    }
    assert line["tasks"][0].keys() == {
        "id",
        "pid",
        "exitCode",
        "seconds",
        "timedOut",
        "skipped",
        "leftBehind",
        "stdoutBytes",
        "stderrBytes",
        "stderrTail",
        "startError",
    }
    assert line["tasks"][0]["startError"].keys() == {"what", "why", "fix"}
    assert set(EndedRun._fields) == {
        "run_id",
        "job_id",
        "exit_code",
        "seconds",
        "ended",
        "skipped",
        "problem",
        "timed_out",
        "failures",
        "denials",
        "result",
        "trigger",
        "context",
        "records",
        "record_runs",
        "published",
        "messages",
        "tries",
        "registered_seconds",
    }
    assert set(FailedTask._fields) == {
        "task_id",
        "exit_code",
        "start_error",
        "stderr_tail",
    }


def test_fields_of_an_agents_facts(agent: Agent) -> None:
    """`epm-task agent --json` prints these, and its PID."""
    facts = agent.call_in_loop(agent._local.facts)
    assert facts.keys() | {"pid"} == {
        "base_url",
        "broker_host",
        "broker_port",
        "ca",
        "admin_cert",
        "admin_key",
        "root",
        "log",
        "pid",
    }


def test_fields_of_findings(agent: Agent, tmp_path: Path) -> None:
    """`doctor --json` and `validate --json` have these fields."""
    report = json.loads(epm_task("doctor", "--base-url", agent.base_url, "--json").out)
    assert report.keys() == {"findings", "counts"}
    assert report["counts"].keys() == {"ok", "warning", "problem", "unknown"}
    assert report["findings"][0].keys() == {"check", "state", "what", "why", "fix"}
    (tmp_path / "job.json").write_text("{}")
    report = json.loads(epm_task("validate", tmp_path / "job.json", "--json").out)
    assert report.keys() == {"valid", "documents", "findings"}
    fields = {"file", "line", "column", "code", "severity", "pointer", "what", "fix"}
    assert report["findings"][0].keys() == fields


def test_fields_of_the_exit_codes() -> None:
    """`epm-task exit-codes --json` has these fields."""
    found = json.loads(epm_task("exit-codes", "--json").out)
    assert found.keys() == {"exit_codes", "author"}
    assert found["exit_codes"][0].keys() == {"code", "name", "meaning"}
    assert found["author"].keys() == {"first", "last", "meaning"}


def test_fixtures() -> None:
    """The plugin has these fixtures; the server below `agent` is not for use."""
    kind = type(pytest_plugin.agent)
    fixtures = {name for name, value in vars(pytest_plugin).items() if isinstance(value, kind)}
    assert fixtures == {"agent", "agent_factory", "run_task", "epm_task_server"}


def test_names_for_tests() -> None:
    """`epm_task.testing` offers these names, with these keywords."""
    assert set(testing.__all__) == {
        "Agent",
        "Faults",
        "HandlerContext",
        "Publication",
        "Record",
        "Run",
        "make_context",
    }
    assert inspect.signature(Agent).parameters.keys() == {"root", "deny", "options"}
    assert AgentKeywords.__annotations__.keys() == AGENT_KEYWORDS
    assert set(AgentOptions._fields) == AGENT_KEYWORDS
    assert inspect.signature(Agent.start).parameters.keys() == {"self", "target", "options"}
    assert RunKeywords.__annotations__.keys() == RUN_KEYWORDS
    assert inspect.signature(testing.make_context).parameters.keys() == {
        "job_id",
        "job_name",
        "run_id",
        "publishes",
        "remaining_seconds",
        "agent",
        "state",
        "messages",
    }


def test_names_for_handlers() -> None:
    """What a handler can do with its context, and the fields of a progress record."""
    ctx = testing.make_context()
    assert {name for name in dir(ctx) if not name.startswith("_")} == {
        *(
            "agent",
            "job_id",
            "job_name",
            "log",
            "mask",
            "progress",
            "publish",
            "remaining",
            "state",
        ),
        *("messages", "run", "run_async", "run_id", "stopping", "track"),
        *("published", "records"),  # for tests only
    }
    assert list(inspect.signature(ctx.track).parameters) == ["items", "text", "total"]
    assert list(inspect.signature(ctx.progress).parameters) == ["done", "total", "text"]
    assert Progress(1, 2, 3.0, "running", 4, 5.0, 6.0).fields() == {
        "done": 2,
        "total": 4,
        "rate": 5.0,
        "remainingSeconds": 6.0,
        "elapsedSeconds": 3.0,
        "state": "running",
        "progressId": 1,
    }


def test_what_a_process_is_given(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task finds these arguments and `KEEPER_*` variables, and none of the agent's own."""
    monkeypatch.setenv("KEEPER_API_TOKEN", "of another agent")
    file = tmp_path / "probe.py"
    file.write_text(PROBE)
    found = agent.run(file).result
    assert found is not None
    assert found["options"] == ["--keeper-api-base", "--ca-file"]
    assert found["keeper"] == {"KEEPER_JOB_ID": "probe", "KEEPER_JOB_NAME": "probe"}
    assert agent.run(file, job={"mqttTopics": {}}).result == {**found, "keeper": {}}
