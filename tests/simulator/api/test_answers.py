"""Tests of answers that are sent in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.api.api_agent import ApiAgent, job_document

if TYPE_CHECKING:
    from pathlib import Path


def test_a_large_answer_arrives_whole(tmp_path: Path) -> None:
    """Its length is declared, and the connection goes on."""
    with ApiAgent(tmp_path) as agent, agent.client(admin=True) as client:
        agent.jobs.put(job_document(pad="x" * 1_000_000))
        response = client.get("/api/Jobs/probe")
        assert response.json()["pad"] == "x" * 1_000_000
        assert int(response.headers["content-length"]) == len(response.content)
        assert client.get("/health").status_code == 200
