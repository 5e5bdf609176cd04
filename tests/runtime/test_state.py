"""What a task keeps between its runs: read, saved, refused, and never torn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import PATIENCE
from peers.task_process import PROGRAMS

from epm_task.errors import DefinitionError, UnsafeConfiguration
from epm_task.job.task_file import read_task_file
from epm_task.runtime.state import (
    MAX_STATE_BYTES,
    State,
    StateFile,
    StateNotSaved,
    StateNotSerializable,
    StateUnusable,
    state_folder,
    system_state_folder,
)
from epm_task.testing import Agent, make_context

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.simulator.jobs.run import Run

STATEFUL = PROGRAMS / "stateful.py"
TASKS: dict[str, Any] = dict(read_task_file(STATEFUL).tasks)


def run(box: Agent, task: str, /, **parameters: Any) -> Run:
    """Run a task of the program."""
    return box.run(TASKS[task], parameters=parameters)


def text(ended: Run) -> str:
    """Return what a run wrote to stderr."""
    return ended.stderr.decode()


def place(box: Agent, name: str) -> Path:
    """Return the file of a task's state."""
    where: Path = box.root / "State" / TASKS[name].declaration.job_id / f"{name}.json"
    return where


def test_a_mapping_lasts_from_run_to_run(box: Agent) -> None:
    """Also what was changed in place; the file is the account's own."""
    runs = [run(box, "counter") for _ in range(3)]
    assert [one.exit_code for one in runs] == [0, 0, 0], [one.stderr for one in runs]
    assert runs[-1].result == {"runs": 3, "ends": ["return"] * 3}
    assert box.read_state(TASKS["counter"]) == runs[-1].result
    if os.name == "posix":
        assert place(box, "counter").stat().st_mode & 0o777 == 0o600
        assert place(box, "counter").parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("end", "code"), [("fail", 1), ("crash", 70)])
def test_a_handler_that_fails_has_changed_nothing(box: Agent, end: str, code: int) -> None:
    """The next run finds what the last good one left."""
    run(box, "counter")
    assert run(box, "counter", end=end).exit_code == code
    assert box.read_state(TASKS["counter"]) == {"runs": 1, "ends": ["return"]}


def test_what_was_saved_before_a_failure_stays(box: Agent) -> None:
    """`ctx.state.save()` is at once."""
    assert run(box, "counter", end="saved").exit_code == 1
    assert run(box, "counter").result == {"runs": 2, "ends": ["saved", "return"]}


def test_a_task_that_uses_none_leaves_none(box: Agent) -> None:
    """Not even a folder."""
    assert run(box, "untouched").exit_code == 0
    assert not (box.root / "State").exists()


@pytest.mark.parametrize(("end", "why"), [("big", "may have 1048576"), ("odd", "/odd: object")])
def test_what_cannot_be_kept_is_70(box: Agent, end: str, why: str) -> None:
    """And the state of before stays."""
    run(box, "counter")
    ended = run(box, "counter", end=end)
    assert ended.exit_code == 70
    assert why in text(ended)
    assert box.read_state(TASKS["counter"])["runs"] == 1


def test_a_model_is_injected_with_its_defaults(box: Agent) -> None:
    """And with what was saved, from the second run on."""
    assert run(box, "typed", name="a").result == {"names": ["a"], "runs": 1}
    assert run(box, "typed", name="saved").exit_code == 1
    assert run(box, "typed", name="b").result == {"names": ["a", "saved", "b"], "runs": 3}


def test_an_older_version_migrates(box: Agent) -> None:
    """And is saved as the new one."""
    box.write_state(TASKS["typed"], {"names": "x,y"})
    assert run(box, "typed").result == {"names": ["x", "y"], "runs": 8}
    assert json.loads(place(box, "typed").read_bytes())["version"] == 2


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b'{"version":2,"values":{"names":["a"', "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "no version and values"),
        (b'{"version":2,"values":[]}', "no version and values"),
        (b'{"version":true,"values":{}}', "no version and values"),
        (b'{"version":3,"values":{}}', "version 3, and this program knows 2"),
        (b'{"version":0,"values":{}}', "no version 0 was ever deployed"),
        (b'{"version":1,"values":{}}', "KeyError"),
        (b'{"version":2,"values":{"runs":"many"}}', "runs: Input should be"),
        (b'{"version":2,"values":{"runs":1,"runs":2}}', "twice"),
        (b"x" * (MAX_STATE_BYTES + 200), "larger than 1 MiB"),
        ("\ufeff".encode("utf-16"), "UTF-8"),
    ],
)
def test_what_does_not_fit_is_kept_aside(box: Agent, content: bytes, why: str) -> None:
    """The run ends with 65 and says what to do; the next one begins without a state."""
    box.write_state(TASKS["typed"], {})
    place(box, "typed").write_bytes(content)
    ended = run(box, "typed")
    assert ended.exit_code == 65
    assert why in text(ended)
    assert "correct it and rename it back" in text(ended)
    assert "many" not in text(ended)
    (kept,) = place(box, "typed").parent.glob("typed-unusable-*.json")
    assert kept.name in text(ended)
    assert kept.read_bytes() == content
    assert run(box, "typed").result == {"names": [], "runs": 1}


@pytest.mark.posix("Windows sets no limit")
def test_a_full_disk_is_74(box: Agent) -> None:
    """The old state is untouched, and nothing is left beside it."""
    box.write_state(TASKS["full-disk"], {"text": "old"})
    ended = run(box, "full-disk")
    assert ended.exit_code == 74
    assert "was not saved: File too large" in text(ended)
    assert box.read_state(TASKS["full-disk"]) == {"text": "old"}
    assert len(list(place(box, "full-disk").parent.iterdir())) == 1


def test_a_folder_that_cannot_be_is_74(box: Agent) -> None:
    """As on a disk that is read-only."""
    (box.root / "State").write_text("no folder", "utf-8")
    try:
        ended = run(box, "counter")
    finally:
        (box.root / "State").unlink()
    assert ended.exit_code == 74
    assert "counter.json was not" in text(ended)


@pytest.mark.parametrize("which", ["folder", "file", "readable"])
@pytest.mark.posix("modes are POSIX; tests/trust has the descriptors of Windows")
def test_a_state_of_others_is_refused(box: Agent, which: str) -> None:
    """Who could write or read it is told, with what to do."""
    run(box, "counter")
    path = place(box, "counter")
    if which == "folder":
        path.parent.chmod(0o777)
    else:
        path.chmod(0o666 if which == "file" else 0o644)
    ended = run(box, "counter")
    assert ended.exit_code == 78
    assert "every user can" in text(ended)
    assert "chmod" in text(ended)


@pytest.mark.posix("Wine makes no links")
def test_a_link_is_not_followed_to_others(box: Agent, tmp_path: Path) -> None:
    """What it leads to is judged, as everywhere."""
    run(box, "counter")
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_bytes(place(box, "counter").read_bytes())
    elsewhere.chmod(0o666)
    place(box, "counter").unlink()
    place(box, "counter").symlink_to(elsewhere)
    assert run(box, "counter").exit_code == 78


def test_a_context_of_a_test_holds_it_in_memory() -> None:
    """A handler is called as a function, with a state."""
    context = make_context(state={"runs": 4})
    assert TASKS["counter"](context) == {"runs": 5, "ends": ["return"]}
    context.state.save()
    assert dict(context.state)["runs"] == 5
    assert "runs" in repr(context.state)
    TASKS["counter"](context, end="odd")
    with pytest.raises(StateNotSerializable):
        context.state.save()


def test_a_typed_state_is_used_as_such(tmp_path: Path) -> None:
    """The mapping says where the values are."""
    model = next(iter(TASKS["typed"].handler.injections.values()))
    state = State(StateFile(tmp_path / "job", "typed"))
    state.save()
    assert not (tmp_path / "job").exists()
    kind: Any = TASKS["typed"].handler.injections["state"]
    assert model is not kind
    state.typed(kind).names.append("a")
    state.save()
    with pytest.raises(DefinitionError, match="is a Seen"):
        state["names"]
    del state
    again = State(StateFile(tmp_path / "job", "typed"))
    assert list(again) == ["names", "runs"]
    assert len(again) == 2
    del again["names"]
    again.save()
    assert dict(State(StateFile(tmp_path / "job", "typed"))) == {"runs": 0}


def test_what_has_not_changed_is_not_written(tmp_path: Path) -> None:
    """A run that only looks costs no write."""
    state = State(StateFile(tmp_path / "job", "t"))
    state["a"] = 1
    state.save()
    before = state._file and state._file.path.stat().st_mtime_ns
    again = State(StateFile(tmp_path / "job", "t"))
    assert again["a"] == 1
    again.save()
    assert again._file
    assert again._file.path.stat().st_mtime_ns == before


def test_two_runs_may_save_and_the_later_counts(tmp_path: Path) -> None:
    """Each save is whole; what a killed one left long ago is removed."""
    first, second = (State(StateFile(tmp_path / "job", "t")) for _ in range(2))
    first["a"], second["b"] = 1, 2
    first.save()
    old, young = (tmp_path / "job" / f".t.json.{digit * 32}.tmp" for digit in "ab")
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    second.save()
    assert dict(State(StateFile(tmp_path / "job", "t"))) == {"b": 2}
    assert (old.exists(), young.exists()) == (False, True)


def test_a_state_that_cannot_be_moved_aside_says_both(tmp_path: Path) -> None:
    """What is wrong with it, and that it is still there."""
    file = StateFile(tmp_path / "none", "t")
    with pytest.raises(StateNotSaved, match=r"not usable \(odd\), and not moved aside"):
        file.unusable("odd")
    assert StateUnusable(tmp_path / "t.json", "odd", tmp_path / "kept").exit_code == 65


def test_the_place_is_the_agents_or_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path would depend on the working folder."""
    monkeypatch.delenv("EPM_TASK_STATE", raising=False)
    assert state_folder("job") == system_state_folder() / "job"
    assert system_state_folder().is_absolute()
    monkeypatch.setenv("EPM_TASK_STATE", os.path.abspath("given"))  # noqa: PTH100
    assert state_folder("job").parent.name == "given"
    monkeypatch.setenv("EPM_TASK_STATE", "given")
    with pytest.raises(UnsafeConfiguration, match="working folder"):
        state_folder("job")


def killed(count: int, folder: Path) -> dict[str, int]:
    """Kill *count* processes that save; return how often, and what was found."""
    command = [sys.executable, str(PROGRAMS / "killed_saves.py"), str(count), "1", str(folder)]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=10 * PATIENCE)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, int] = json.loads(ended.stdout)
    return found


@pytest.mark.slow
@pytest.mark.posix("Windows does not fork")
def test_2000_kills_tear_nothing(tmp_path: Path) -> None:
    """What is read after SIGKILL is whole, and not older than the last save that returned."""
    found = killed(2000, tmp_path)
    assert found["kills"] == 2000
    assert found["saves"] >= 1000
    assert (found["torn"], found["older"]) == (0, 0)
