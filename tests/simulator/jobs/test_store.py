"""Tests of the job store."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

from epm_task.errors import BadJobId
from epm_task.simulator.jobs.scheduler import Clock, Scheduler
from epm_task.simulator.jobs.store import IdsOfOneFile, JobStore, UnknownJob
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from pathlib import Path


def test_a_document_comes_back_as_it_came(tmp_path: Path) -> None:
    """Unknown fields, their order and their values stay, over a restart."""
    job = {"zeta": {"b": 1, "a": [True, None, 1.5, "\ud800ü"]}, "id": "one", "alpha": ""}
    assert JobStore(tmp_path).put(job) is True
    again = JobStore(tmp_path)
    assert again.put(job) is False
    assert json.dumps(again.get("one")) == json.dumps(job)


def test_jobs_are_listed_by_id(tmp_path: Path) -> None:
    """The order does not depend on when they came."""
    store = JobStore(tmp_path)
    for job_id in ("b", "a"):
        store.put({"id": job_id})
    assert [job["id"] for job in store.all()] == ["a", "b"]


def test_each_job_costs_the_same(tmp_path: Path) -> None:
    """With twice the jobs an agent makes twice the calls before it is ready, and no more."""
    counts = []
    for number in range(400):
        if number in {100, 200}:
            counts.append(_calls_to_load(tmp_path))
        (tmp_path / f"job-{number}.json").write_text(
            json.dumps({"id": f"job-{number}", "schedule": {"intervalMinutes": 5}})
        )
    counts.append(_calls_to_load(tmp_path))
    assert counts[2] - counts[1] <= 2.1 * (counts[1] - counts[0])


def _calls_to_load(folder: Path) -> int:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    async def start() -> None:
        sys.setprofile(count)
        store = JobStore(folder)
        Scheduler(Clock(), store.all, print, Trace()).start()
        sys.setprofile(None)

    asyncio.run(start())
    return calls


def test_a_deleted_job_does_not_come_back(tmp_path: Path) -> None:
    """Also when its file is gone already."""
    store = JobStore(tmp_path)
    store.put({"id": "a"})
    store.put({"id": "b"})
    store.delete("a")
    (tmp_path / "b.json").unlink()
    store.delete("b")
    assert JobStore(tmp_path).all() == []
    with pytest.raises(UnknownJob):
        store.delete("a")


def test_ids_of_one_file_are_refused(tmp_path: Path) -> None:
    """As on Windows and macOS, which do not tell `scan.json` from `Scan.json`."""
    store = JobStore(tmp_path)
    store.put({"id": "scan"})
    if not (tmp_path / "Scan.json").exists():
        (tmp_path / "Scan.json").hardlink_to(tmp_path / "scan.json")
    with pytest.raises(IdsOfOneFile, match="'Scan' has the file of the job 'scan'"):
        store.put({"id": "Scan"})
    assert store.put({"id": "scan", "name": "again"}) is False
    assert [job["id"] for job in store.all()] == ["scan"]


def test_ids_of_two_files_are_two_jobs(tmp_path: Path) -> None:
    """As on Linux; a file that nobody has read yet is replaced."""
    (tmp_path / "SCAN.json").write_text("{}")
    if (tmp_path / "scan.json").exists():
        pytest.skip("this file system does not tell names apart by case")
    store = JobStore(tmp_path)
    assert [store.put({"id": name}) for name in ("scan", "Scan", "SCAN")] == [True] * 3
    assert store.reload() == []
    assert [job["id"] for job in store.all()] == ["SCAN", "Scan", "scan"]


@pytest.mark.parametrize("job", [{}, {"id": "con"}, {"id": "../x"}, {"id": "a_b"}, {"id": ""}])
def test_an_id_that_is_no_file_name_is_refused(tmp_path: Path, job: dict[str, str]) -> None:
    """Nothing is written."""
    with pytest.raises(BadJobId):
        JobStore(tmp_path).put(job)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "line", "why"),
    [
        ("a.json", b'{\n"id": "a"\n"x": 1}', 3, "delimiter"),
        ("a.json", b"[]", 1, "a JSON object is needed"),
        ("a.json", b"\xff", 1, "not UTF-8"),
        ("a.json", b'{\n\n  "id": "b"}', 3, "must equal the file name, 'a'"),
        ("a.json", b"{}", 1, "the id is None"),
        ("a_b.json", b'{"id": "a_b"}', 1, "underscore"),
    ],
)
def test_a_broken_file_is_reported_and_the_others_load(
    tmp_path: Path, name: str, content: bytes, line: int, why: str
) -> None:
    """The report names file, line and reason; the file stays as it is."""
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.json").write_text('{"id": "good"}')
    store = JobStore(tmp_path)
    assert [job["id"] for job in store.all()] == ["good"]
    (problem,) = store.problems
    assert (problem.path.name, problem.line) == (name, line)
    assert why in problem.why
    assert (tmp_path / name).read_bytes() == content


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """A folder with a job's name is not a job."""
    (tmp_path / "a.json").mkdir()
    (problem,) = JobStore(tmp_path).problems
    assert "it is a folder" in str(problem)


def test_reload_sees_what_was_placed_and_taken_away(tmp_path: Path) -> None:
    """Both without a restart."""
    store = JobStore(tmp_path)
    store.put({"id": "a"})
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    (tmp_path / "b.json").write_text('{"id": "b"}')
    assert store.reload() == []
    assert [job["id"] for job in store.all()] == ["b"]


def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    """What is not on disk is not served."""
    store = JobStore(tmp_path)
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match=r".+"):
        store.put({"id": "a"})
    assert store.all() == []
