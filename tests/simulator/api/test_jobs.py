"""The Job Management API, with real TLS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from simulator.api.api_agent import ApiAgent, job_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ApiAgent]:
    """An agent whose layout holds the binary `probe`."""
    with ApiAgent(tmp_path) as agent:
        agent.add_binary()
        yield agent


@pytest.fixture
def admin(agent: ApiAgent) -> Iterator[httpx.Client]:
    """A client with the admin certificate."""
    with agent.client(admin=True) as client:
        yield client


def test_an_agent_without_jobs_lists_none(admin: httpx.Client) -> None:
    """The list has its three keys."""
    assert admin.get("/api/Jobs").json() == {"jobs": [], "count": 0, "message": "0 jobs"}


def test_a_posted_job_is_created_and_then_updated(agent: ApiAgent, admin: httpx.Client) -> None:
    """POST does both; the document comes back as it came."""
    job = job_document(vendorField={"z": 1, "a": [None, 1.5, "ü"]})
    created = admin.post("/api/Jobs", json=job)
    assert (created.status_code, created.json()["message"]) == (200, "Job probe created")
    assert admin.post("/api/Jobs", json=job).json()["message"] == "Job probe updated"
    assert list(admin.get("/api/Jobs/probe").json().items()) == list(job.items())
    listed = admin.get("/api/Jobs").json()
    assert (listed["jobs"], listed["count"], listed["message"]) == ([job], 1, "1 job")
    assert json.loads((agent.root / "Jobs" / "probe.json").read_text("utf-8")) == job


def test_an_invalid_job_is_400_with_every_error(agent: ApiAgent, admin: httpx.Client) -> None:
    """Nothing is saved."""
    response = admin.post("/api/Jobs", json=job_document("bad_id", name="", priority=11))
    assert response.status_code == 400
    assert len(response.json()["errors"]) == 3
    assert agent.jobs.all() == []


def test_a_job_without_its_binary_is_400(admin: httpx.Client) -> None:
    """The binary must be there first, unless the job is not for this system."""
    job = job_document(tasks=[{"id": "one", "command": "no-such-binary"}])
    response = admin.post("/api/Jobs", json=job)
    assert response.status_code == 400
    assert response.json()["errors"][0].startswith("binary not found: ")
    elsewhere = job | {"osFilter": {"windows": False, "linux": False, "macOS": False}}
    assert admin.post("/api/Jobs", json=elsewhere).status_code == 200


def test_an_id_whose_file_is_another_jobs_is_400(agent: ApiAgent, admin: httpx.Client) -> None:
    """As on Windows, where `Probe.json` is `probe.json`."""
    admin.post("/api/Jobs", json=job_document())
    file = agent.root / "Jobs" / "Probe.json"
    if not file.exists():
        file.hardlink_to(agent.root / "Jobs" / "probe.json")
    response = admin.post("/api/Jobs", json=job_document("Probe"))
    assert response.status_code == 400
    assert "has the file of the job 'probe'" in response.json()["errors"][0]
    assert len(agent.jobs.all()) == 1


def test_put_replaces_a_job_under_the_id_of_the_url(admin: httpx.Client) -> None:
    """The body's id does not count, and keeps its place."""
    admin.post("/api/Jobs", json=job_document())
    assert admin.put("/api/Jobs/probe", json=job_document("other")).status_code == 200
    without = job_document()
    del without["id"]
    assert admin.put("/api/Jobs/probe", json=without).json()["jobId"] == "probe"
    assert next(iter(admin.get("/api/Jobs/probe").json())) == "id"
    assert admin.get("/api/Jobs/other").status_code == 404


def test_put_of_an_invalid_job_changes_nothing(admin: httpx.Client) -> None:
    """The full validator runs here too."""
    admin.post("/api/Jobs", json=job_document())
    assert admin.put("/api/Jobs/probe", json={"id": "probe"}).status_code == 400
    assert admin.get("/api/Jobs/probe").json() == job_document()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/Jobs/nothing"),
        ("PUT", "/api/Jobs/nothing"),
        ("DELETE", "/api/Jobs/nothing"),
        ("POST", "/api/Jobs/nothing/trigger"),
        ("POST", "/api/Jobs/nothing/run"),
        ("GET", "/api/Jobs/..%2Fappsettings"),
    ],
)
def test_an_absent_job_is_404(admin: httpx.Client, method: str, path: str) -> None:
    """Also an id that leads out of the folder."""
    assert admin.request(method, path).status_code == 404


def test_a_deleted_job_is_gone_from_disk(agent: ApiAgent, admin: httpx.Client) -> None:
    """A second delete is 404."""
    admin.post("/api/Jobs", json=job_document())
    assert admin.delete("/api/Jobs/probe").json()["jobId"] == "probe"
    assert list((agent.root / "Jobs").glob("*.json")) == []
    assert admin.delete("/api/Jobs/probe").status_code == 404


def test_validate_gives_a_verdict_and_saves_nothing(agent: ApiAgent, admin: httpx.Client) -> None:
    """Invalid or valid, the answer is 200."""
    good = admin.post("/api/Jobs/validate", json=job_document())
    assert good.status_code == 200
    assert good.json() == {"valid": True, "errors": [], "warnings": [], "jobId": "probe"}
    bad = admin.post("/api/Jobs/validate", json={"id": "bad_id"})
    assert bad.status_code == 200
    assert bad.json()["valid"] is False
    assert agent.jobs.all() == []


def test_malformed_json_is_400_with_errors(admin: httpx.Client) -> None:
    """Every endpoint that takes a job says so."""
    admin.post("/api/Jobs", json=job_document())
    headers = {"Content-Type": "application/json"}
    for method, path in (("POST", ""), ("POST", "/validate"), ("PUT", "/probe")):
        response = admin.request(method, f"/api/Jobs{path}", content=b"{,", headers=headers)
        assert response.status_code == 400
        assert "malformed JSON" in response.json()["errors"][0]


def test_trigger_passes_the_event_context(agent: ApiAgent, admin: httpx.Client) -> None:
    """The body is optional; an empty object is none."""
    admin.post("/api/Jobs", json=job_document())
    with_context = admin.post("/api/Jobs/probe/trigger", json={"Path": "/etc"})
    assert with_context.json()["runId"] == "run1"
    assert admin.post("/api/Jobs/probe/trigger").status_code == 200
    assert admin.post("/api/Jobs/probe/trigger", json={}).status_code == 200
    assert admin.post("/api/Jobs/probe/trigger", json=[1]).status_code == 400
    assert agent.runs == [
        ("probe", "trigger", {"Path": "/etc"}),
        ("probe", "trigger", {}),
        ("probe", "trigger", {}),
    ]


def test_run_starts_without_context(agent: ApiAgent, admin: httpx.Client) -> None:
    """The answer does not wait for the end of the run."""
    admin.post("/api/Jobs", json=job_document())
    response = admin.post("/api/Jobs/probe/run")
    assert response.json() == {"message": "Job probe started", "jobId": "probe", "runId": "run1"}
    assert agent.runs == [("probe", "run", {})]


def test_a_disabled_job_does_not_start(agent: ApiAgent, admin: httpx.Client) -> None:
    """Both ways of starting it are 400."""
    admin.post("/api/Jobs", json=job_document(enabled=False))
    for way in ("trigger", "run"):
        response = admin.post(f"/api/Jobs/probe/{way}")
        assert response.status_code == 400
        assert response.json()["errors"] == ["job probe is disabled"]
    assert agent.runs == []


def test_reload_reads_the_folder_and_reports_broken_files(
    agent: ApiAgent, admin: httpx.Client
) -> None:
    """The others load, and the report names file, line and reason."""
    folder = agent.root / "Jobs"
    (folder / "probe.json").write_text(json.dumps(job_document()))
    (folder / "broken.json").write_text('{\n"id": "broken",\n"name" 1}')
    report = admin.post("/api/Jobs/reload").json()
    assert report["count"] == 1
    assert [(e["file"], e["line"]) for e in report["errors"]] == [("broken.json", 3)]
    assert (folder / "broken.json").read_text() == '{\n"id": "broken",\n"name" 1}'
    assert any("broken.json was not loaded" in event.what for event in agent.trace)


def test_ids_in_paths_are_url_decoded(admin: httpx.Client) -> None:
    """`%70robe` is `probe`, and a job may be called like an endpoint."""
    admin.post("/api/Jobs", json=job_document())
    admin.post("/api/Jobs", json=job_document("reload"))
    assert admin.get("/api/Jobs/%70robe").status_code == 200
    assert admin.get("/api/Jobs/reload").json()["id"] == "reload"


def test_a_launched_process_is_not_an_admin(agent: ApiAgent) -> None:
    """A task that calls `/api/Jobs` gets 403, and the trace says why."""
    agent.trust_this_process()
    with agent.client() as task:
        for method, path in (("GET", ""), ("POST", "/validate"), ("PATCH", "/x/y")):
            response = task.request(method, f"/api/Jobs{path}")
            assert (response.status_code, response.json()) == (403, {"error": "Forbidden"})
    assert "a launched process has the Plugin tier only" in agent.last().reason
    assert "no client certificate" in agent.last().reason


def test_a_job_file_that_cannot_be_written_is_500(agent: ApiAgent, admin: httpx.Client) -> None:
    """Nothing is acknowledged that is not on disk."""
    (agent.root / "Jobs").rename(agent.root / "Gone")
    elsewhere = job_document(osFilter={"windows": False, "linux": False, "macOS": False})
    assert admin.post("/api/Jobs", json=elsewhere).status_code == 500
    assert agent.jobs.all() == []
