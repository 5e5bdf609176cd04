"""Tests of the admin client against a real agent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import add_binary, credential_of, foreign_pair, job_document

from epm_task.admin.client import (
    AdminClient,
    Applied,
    apply_job,
    live_verdict,
    same_document,
)
from epm_task.admin.credential import Credential
from epm_task.admin.errors import (
    CredentialRefused,
    JobRefused,
    UnknownJob,
    WrongUse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from epm_task.testing import Agent


@pytest.fixture
def admin(agent: Agent) -> Iterator[AdminClient]:
    """A client of an agent whose layout holds the binary `probe`."""
    add_binary(agent)
    with AdminClient(agent.base_url, credential_of(agent)) as client:
        yield client


def test_a_saved_job_comes_back_as_it_was(admin: AdminClient) -> None:
    """Unknown fields, and their order, survive the round trip."""
    job = job_document(vendorField={"z": 1, "a": [None, 1.5, "ü"]})
    done = admin.save_job(job)
    assert (done.job_id, done.message) == ("probe", "Job probe created")
    assert list(admin.get_job("probe").items()) == list(job.items())
    listed = admin.list_jobs()
    assert (listed.jobs, listed.count, listed.message) == ((job,), 1, "1 job")


def test_the_id_of_the_call_counts_when_a_job_is_replaced(admin: AdminClient) -> None:
    """PUT names the job in its path."""
    admin.save_job(job_document())
    admin.replace_job("probe", job_document("other", name="Replaced"))
    assert admin.get_job("probe")["name"] == "Replaced"


def test_a_deleted_job_is_unknown(admin: AdminClient) -> None:
    """404 names the job and how to see the others."""
    admin.save_job(job_document())
    assert admin.delete_job("probe").job_id == "probe"
    with pytest.raises(UnknownJob, match=r"has no job 'probe'.*jobs list") as error:
        admin.get_job("probe")
    assert (error.value.exit_code, error.value.job_id) == (66, "probe")


def test_errors_and_warnings_of_a_verdict_are_data(admin: AdminClient) -> None:
    """Validation stores nothing and raises nothing."""
    verdict = admin.validate_job(job_document(priority=11, name=""))
    assert (verdict.valid, len(verdict.errors), verdict.job_id) == (False, 2, "probe")
    assert admin.validate_job(job_document()).valid
    assert admin.list_jobs().count == 0


def test_a_refused_job_carries_every_error(admin: AdminClient) -> None:
    """400 becomes one exception with the agent's own sentences."""
    with pytest.raises(JobRefused) as error:
        admin.save_job(job_document(priority=11, name=""))
    assert (error.value.exit_code, len(error.value.errors)) == (65, 2)


def test_a_trigger_passes_its_context(admin: AdminClient, agent: Agent) -> None:
    """The agent tells the run's id."""
    admin.save_job(job_document())
    started = admin.trigger_job("probe", {"reason": "test"})
    assert (started.job_id, bool(started.run_id)) == ("probe", True)
    assert admin.run_job("probe").run_id not in {"", started.run_id}
    agent.jobs.wait()


def test_a_disabled_job_is_not_run(admin: AdminClient) -> None:
    """The agent's reason is passed on."""
    admin.save_job(job_document(enabled=False))
    with pytest.raises(JobRefused, match="job probe is disabled"):
        admin.run_job("probe")


def test_a_reload_tells_which_files_are_broken(admin: AdminClient, agent: Agent) -> None:
    """Objects in `errors` become texts."""
    broken = agent.root / "Jobs" / "broken.json"
    broken.write_text("{")
    try:
        reloaded = admin.reload_jobs()
    finally:
        broken.unlink()
    assert reloaded.count == 0
    assert reloaded.errors[0].startswith("file broken.json, line 1, reason")


def test_a_plugin_is_stopped_started_and_restarted(admin: AdminClient, agent: Agent) -> None:
    """The agent does it; a plugin that it does not have is unknown."""
    assert admin.stop_plugin("KeeperLogger").document["pluginName"] == "KeeperLogger"
    assert admin.start_plugin("KeeperLogger").document["message"] == "Plugin KeeperLogger started"
    admin.restart_plugin("KeeperLogger")
    done = [event.what for event in agent.trace if event.kind == "plugin"][-3:]
    assert [what.split()[3] for what in done] == ["stopped", "started", "restarted"]
    with pytest.raises(UnknownJob, match=r"does not know POST /api/plugins/a%2Fb/stop \(404\)"):
        admin.stop_plugin("a/b")
    for name in ("", ".", ".."):
        with pytest.raises(WrongUse, match="is not a plugin"):
            admin.stop_plugin(name)


def test_the_public_endpoints_need_no_credential(agent: Agent) -> None:
    """A CA is enough."""
    with AdminClient(agent.base_url, Credential(ca=agent.ca)) as client:
        assert client.health().status == "healthy"
        assert client.service().version.startswith("epm-task")
        assert client.system_status().document["running"] is True


def test_403_is_said_to_be_about_the_tier(agent: Agent) -> None:
    """TLS worked, so the sentence rules out network and certificate chain."""
    with (
        AdminClient(agent.base_url, Credential(ca=agent.ca)) as client,
        pytest.raises(CredentialRefused, match="Admin tier, and no client certificate") as error,
    ):
        client.list_jobs()
    assert (error.value.exit_code, error.value.status) == (77, 403)
    for option, file in (
        ("cert", agent.admin_cert),
        ("key", agent.admin_key),
        ("cacert", agent.ca),
    ):
        assert f"--{option} ROOT/{file.relative_to(agent.root).as_posix()}" in str(error.value)


def test_a_certificate_of_another_ca_is_refused_before_anything_is_sent(
    agent: Agent, tmp_path: Path
) -> None:
    """The refusal of TLS 1.3 comes after the handshake; the client waits for it."""
    certificate, key = foreign_pair(tmp_path)
    mark = agent.trace.mark()
    with AdminClient(agent.base_url, Credential(certificate, key, agent.ca)) as client:
        for call in (client.list_jobs, lambda: client.save_job(job_document())):
            with pytest.raises(CredentialRefused, match="not one of a CA") as error:
                call()
            assert error.value.status == 0
    assert [event for event in agent.trace.since(mark) if "/api/Jobs" in str(event)] == []


def test_without_a_ca_the_owner_of_the_port_counts(agent: Agent) -> None:
    """The agent of this test runs as this user, so it is trusted."""
    with AdminClient(agent.base_url, credential_of(agent)._replace(ca=None)) as client:
        assert client.list_jobs().count == 0


@pytest.mark.parametrize("job_id", ["", ".", "..", "a/b", "a_b", "a?b", "é", "a" * 129, "-a"])
def test_an_id_that_the_api_cannot_carry_is_not_sent(admin: AdminClient, job_id: str) -> None:
    """No spelling of an id reaches another path."""
    with pytest.raises(WrongUse, match="job id"):
        admin.get_job(job_id)


def test_calls_from_many_threads_are_all_answered(admin: AdminClient) -> None:
    """They wait for each other; the results come in the order of the calls."""
    ids = [f"job-{number}" for number in range(20)]
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda each: admin.save_job(job_document(each)), ids))
    assert [each.job_id for each in done] == ids
    assert admin.list_jobs().count == 20


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


def test_a_live_verdict_stores_nothing(admin: AdminClient) -> None:
    """A job that would be refused is told with the reasons."""
    assert live_verdict(admin, job_document()).valid
    assert live_verdict(admin, job_document(priority=11)).errors
    assert admin.list_jobs().count == 0
