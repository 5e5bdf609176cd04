"""Tests of the recording, and of its replay."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from peers.garbling import garbled
from peers.rights import is_private, let_others
from simulator.task_files import SCANNER, TWO_TASKS, call, write

from epm_task.contract.names import PLUGIN_SETTINGS_PATH
from epm_task.contract.secrets import MASK
from epm_task.simulator.broker import Message
from epm_task.simulator.embedded import Agent
from epm_task.simulator.recording import Recorder, Replay, mask_value
from epm_task.simulator.start_error import UnusableFile
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from pathlib import Path


_SECRET = "hunter2-hunter2"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_run_is_recorded_and_replayed(tmp_path: Path) -> None:
    """A replayed run gets the recorded settings from an agent that has others."""
    (tmp_path / "a.pem").write_text("x" * 11)
    task, file = write(tmp_path, SCANNER), tmp_path / "run.jsonl"
    settings = {"KeyScanner": {"max_bytes": "10", "db.password": _SECRET}}
    with Agent(settings=settings, record_file=file) as agent:
        assert agent.run(task, parameters={"root": tmp_path}, registration_delay=0.1).result == {
            "found": 0
        }
    lines = _lines(file)
    assert {line["kind"] for line in lines} == {"api", "mqtt"}
    assert _SECRET not in file.read_text()
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)

    with Agent(settings={"KeyScanner": {"max_bytes": "99"}}, replay_file=file) as agent:
        run = agent.run(task, parameters={"root": tmp_path})
        assert run.exit_code == 0, run.stderr
        assert run.result == {"found": 0}
        assert {record.source_channel for record in run.records} == {"broker"}
        assert agent.run(write(tmp_path, TWO_TASKS, "b.py"), task="talker").exit_code == 0


def test_what_was_not_recorded_is_unknown(tmp_path: Path) -> None:
    """A task that asks for something else gets 404, and the trace says why."""
    file = tmp_path / "run.jsonl"
    with Agent(record_file=file) as agent:
        agent.run(write(tmp_path, TWO_TASKS), task="talker")
    with Agent(replay_file=file) as agent:
        run = agent.run(write(tmp_path, SCANNER, "other.py"), parameters={"root": tmp_path})
        assert run.exit_code == 66
        assert any("not in the recording" in event.reason for event in agent.trace)


def test_answers_come_in_their_order(tmp_path: Path) -> None:
    """The last recorded answer is given again and again; status and single values too."""
    file = tmp_path / "run.jsonl"
    path = "/api/PluginSettings/P/k"
    exchanges = [(500, {"error": "x"}), (403, {}), (200, "one"), (200, "two")]
    file.write_text(
        "\n".join(
            json.dumps(
                {"at": 0, "kind": "api", "method": "GET", "path": path, "status": s, "body": b}
            )
            for s, b in exchanges
        )
    )
    ask = (
        "import sys, ssl, urllib.request, urllib.error\n"
        "base, ca = sys.argv[1].split('=')[1], sys.argv[2].split('=')[1]\n"
        "context = ssl.create_default_context(cafile=ca)\n"
        "for _ in range(4):\n"
        "    try:\n"
        f"        with urllib.request.urlopen(base + '{path}', context=context) as answer:\n"
        "            print(answer.read().decode())\n"
        "    except urllib.error.HTTPError as error:\n"
        "        with error: print(error.code)\n"
    )
    with Agent(replay_file=file) as agent:
        run = agent.run(write(tmp_path, ask))
    assert run.stdout.decode().split() == ["500", '"one"', '"two"', '"two"']


def test_messages_of_others_are_sent_again(tmp_path: Path) -> None:
    """What an admin published while the run was recorded is published again."""
    file = tmp_path / "run.jsonl"
    api = {"method": "GET", "path": "/api/PluginSettings/P", "status": 200, "body": {}}
    text = {"topic": "KeeperLogger", "payload": "hello", "jobId": None}
    raw = {"topic": "KeeperLogger", "payloadBase64": "/w==", "qos": 1}
    own = {"topic": "KeeperLogger", "payload": {"message": "own"}, "jobId": "j"}
    lines = [
        {"at": 5, "kind": "api"} | api,
        *({"at": 5.01, "kind": "mqtt"} | m for m in (text, raw, own)),
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    ask = (
        "import sys, ssl, time, urllib.request\n"
        "base, ca = sys.argv[1].split('=')[1], sys.argv[2].split('=')[1]\n"
        "context = ssl.create_default_context(cafile=ca)\n"
        "urllib.request.urlopen(base + '/api/PluginSettings/P', context=context).close()\n"
        "time.sleep(0.2)\n"
    )
    with Agent(replay_file=file) as agent:
        assert agent.run(write(tmp_path, ask)).exit_code == 0
        log = [json.loads(line)["message"] for line in agent.log.read_text("utf-8").splitlines()]
    assert log == ["hello", "\ufffd"]


@pytest.mark.parametrize("text", ["{", '{"at": 1, "kind": "other"}', '{"kind": "api"}'])
def test_broken_recording(tmp_path: Path, text: str) -> None:
    """The error names file and line."""
    file = tmp_path / "run.jsonl"
    file.write_text('{"at": 0, "kind": "mqtt", "topic": "t"}\n' + text)
    with pytest.raises(UnusableFile, match=r"run\.jsonl, line 2"):
        Agent(replay_file=file).open()
    with pytest.raises(UnusableFile, match="absent"):
        Agent(replay_file=tmp_path / "absent").open()


def test_single_secret_is_masked_by_the_name_in_the_path(tmp_path: Path) -> None:
    """One setting is answered without its name, so the path decides."""
    file = tmp_path / "run.jsonl"
    with Agent(record_file=file) as agent:
        agent.settings["P"]["db.password"] = _SECRET
        call(agent, "/api/PluginSettings/P/db.password")
        call(agent, "/api/Jobs", admin=True)
    assert _SECRET not in file.read_text()
    assert [line["status"] for line in _lines(file)] == [403, 200]


_OF_TYPE = """
from pydantic import BaseModel, SecretStr
from epm_task import TaskContext, TaskSettings, task

class Login(BaseModel):
    where: SecretStr

class Settings(TaskSettings, plugin="P"):
    dsn: SecretStr
    logins: list[Login]

@task
def scan(ctx: TaskContext, settings: Settings) -> None:
    "Scan."
    ctx.agent.put_setting("P", settings.dsn.get_secret_value(), "x")

if __name__ == "__main__":
    scan.main()
"""


def test_settings_of_a_secret_type_are_masked(tmp_path: Path) -> None:
    """Whatever their names: the task that is run says by its types what is secret."""
    recording, trace = tmp_path / "run.jsonl", tmp_path / "trace.jsonl"
    with Agent(record_file=recording, trace_file=trace) as agent:
        agent.settings["P"]["dsn"] = "first-value/of-a-key"
        agent.settings["P"]["logins"] = '[{"where":"second-value"}]'
        assert agent.run(write(tmp_path, _OF_TYPE)).exit_code == 0
    written = recording.read_text() + trace.read_text()
    assert written.count(MASK) >= 3
    assert not [word for word in ("first-value", "of-a-key", "second-value") if word in written]


def test_payloads(tmp_path: Path) -> None:
    """JSON is kept as JSON, text as text, the rest as base64; secrets are masked in each."""
    recorder = Recorder(tmp_path / "r", Trace())
    for payload in (b'{"password": "x"}', b"token=abc", b"\xff"):
        recorder.message(Message("t", payload))
    recorder.close()
    lines = _lines(tmp_path / "r")
    assert lines[0]["payload"] == {"password": "********"}
    assert lines[1]["payload"] == "token=********"
    assert lines[2]["payloadBase64"] == "/w=="


def test_recording_is_private(tmp_path: Path) -> None:
    """Only its owner can read a new recording."""
    let_others(tmp_path, "read")
    Recorder(tmp_path / "r", Trace()).close()
    assert is_private(tmp_path / "r")


def test_values_are_masked_however_deep() -> None:
    """Lists and objects are searched; null tells nothing and stays."""
    value = {"a": [{"password": "x", "token": {"deep": 1}, "secret": None}], "text": "pwd=abc ok"}
    assert mask_value(value) == {
        "a": [{"password": MASK, "token": MASK, "secret": None}],
        "text": f"pwd={MASK} ok",
    }


def test_a_garbled_recording_is_refused(tmp_path: Path) -> None:
    """Or it answers; it never ends in a traceback, nor in an agent that does not answer."""
    file = tmp_path / "run.jsonl"
    api = {"at": 0, "kind": "api", "method": "GET", "path": f"{PLUGIN_SETTINGS_PATH}/P"}
    api |= {"status": 200, "body": {"a": "b"}}
    mqtt = {"at": 0, "kind": "mqtt", "topic": "T", "payload": {"m": 1}, "qos": 1, "jobId": None}
    coded = {"at": 0, "kind": "mqtt", "topic": "T", "payloadBase64": "/w=="}
    accepted, refused = [], 0
    for _, variant in (each for line in (api, mqtt, coded) for each in garbled(line)):
        file.write_text(json.dumps(variant))
        with suppress(UnusableFile):
            refused += 1
            Replay(file, None)  # type: ignore[arg-type]  # the broker is for later
            refused -= 1
            accepted.append(json.dumps({**variant, "at": 0}))
    assert (refused > 150, len(accepted) > 20) == (True, True)
    file.write_text("\n".join(accepted))
    ask = (
        "import sys, ssl, urllib.request\n"
        "base, ca = sys.argv[1].split('=')[1], sys.argv[2].split('=')[1]\n"
        "context = ssl.create_default_context(cafile=ca)\n"
        f"for _ in range({len(accepted)}):\n"
        "    urllib.request.urlopen(base + '/api/PluginSettings/P', context=context).close()\n"
    )
    with Agent(replay_file=file) as agent:
        run = agent.run(write(tmp_path, ask))
        assert run.exit_code == 0, run.stderr
