"""Tests of applying documents, and of the agent's verdicts, against a real agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from admin.admin_files import add_binary, credential_of, job_document

from epm_task.admin.apply import Applied, apply_job, same_document
from epm_task.admin.client import AdminClient
from epm_task.admin.errors import WrongUse
from epm_task.admin.live import live_verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.testing import Agent


@pytest.fixture
def admin(agent: Agent) -> Iterator[AdminClient]:
    """A client of an agent whose layout holds the binary `probe`."""
    add_binary(agent)
    with AdminClient(agent.base_url, credential_of(agent)) as client:
        yield client


def test_applying_twice_changes_nothing(admin: AdminClient, agent: Agent) -> None:
    """The second time nothing is even sent."""
    assert apply_job(admin, job_document()) == Applied("probe", "created")
    mark = agent.trace.mark()
    assert apply_job(admin, job_document()) == Applied("probe", "unchanged")
    assert not [event for event in agent.trace.since(mark) if "POST" in str(event)]
    assert apply_job(admin, job_document(name="New")).change == "updated"


def test_a_dry_run_only_says_what_would_be_done(admin: AdminClient) -> None:
    """The agent has no job afterwards."""
    assert apply_job(admin, job_document(), dry_run=True).change == "created"
    assert admin.list_jobs().count == 0


def test_a_document_without_a_usable_id_is_not_sent(admin: AdminClient) -> None:
    """Its id would be a path."""
    with pytest.raises(WrongUse):
        apply_job(admin, {"name": "no id"})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
    ],
)
def test_documents_are_compared_as_json(one: object, other: object, *, same: bool) -> None:
    """The order of fields does not count, the kind of a value does."""
    assert same_document(one, other) is same  # type: ignore[arg-type]


def test_live_verdicts_come_in_order(admin: AdminClient) -> None:
    """One for each document."""
    first, second = live_verdicts(admin, [job_document(), job_document(priority=11)])
    assert (first.valid, second.valid) == (True, False)
    assert second.errors
