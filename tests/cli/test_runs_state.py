"""`epm-task run --state` keeps what a task keeps, and `epm-task runs state` shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.command import epm_task as process
from cli.command_line import epm_task
from peers.task_process import PROGRAMS

STATEFUL = f"{PROGRAMS / 'stateful.py'}:counter"


def test_a_state_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    """Without the option each run begins without one."""
    kept = [process("run", STATEFUL, "--state", str(tmp_path / "kept")) for _ in range(2)]
    fresh = [process("run", STATEFUL) for _ in range(2)]
    runs = [json.loads(done.out)["runs"] for done in (*kept, *fresh)]
    assert runs == [1, 2, 1, 1]
    shown = epm_task("runs", "state", "counter", "--state", tmp_path / "kept", "--json")
    found = json.loads(shown.out)
    assert Path(found["folder"]) == tmp_path / "kept" / "counter"
    values = {"runs": 2, "ends": ["return", "return"]}
    assert found["states"] == {"counter": {"version": 1, "values": values}}
    people = epm_task("runs", "state", "counter", "--state", tmp_path / "kept")
    assert people.out.startswith("counter, version 1, in ")
    assert '"runs": 2' in people.out


def test_what_does_not_exist_is_told(tmp_path: Path) -> None:
    """No folder, no file, or a file of another kind."""
    words = ("runs", "state", "counter", "--state", tmp_path)
    assert "is missing" in epm_task(*words).err
    (tmp_path / "counter").mkdir()
    assert "no run of it has saved any" in epm_task(*words).err
    (tmp_path / "counter" / "counter-unusable-1.json").write_text("{", "utf-8")
    assert "no run of it has saved any" in epm_task(*words).err
    (tmp_path / "counter" / "counter.json").write_text("{}", "utf-8")
    assert "is not a state: it holds no version and values" in epm_task(*words).err


@pytest.mark.parametrize("job_id", ["../etc", "a/b", "con", "bad_id"])
def test_a_job_id_leads_nowhere_else(tmp_path: Path, job_id: str) -> None:
    """It is the name of a folder."""
    assert epm_task("runs", "state", job_id, "--state", tmp_path).exit_code != 0


def test_the_agents_own_folder_is_the_first(tmp_path: Path) -> None:
    """That of its root, which is named as for the other verbs."""
    folder = tmp_path / "State" / "counter"
    folder.mkdir(parents=True)
    (folder / "counter.json").write_text('{"version": 1, "values": {"runs": 9}}', "utf-8")
    done = epm_task("runs", "state", "counter", "--agent-root", tmp_path, "--json")
    assert json.loads(done.out)["states"]["counter"]["values"] == {"runs": 9}
