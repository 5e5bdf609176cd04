"""Tests of JobUpdate policies, from the text to a fleet of twenty agents."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import add_binary, credential_of, job_document
from peers.garbling import garbled

from epm_task.admin.client import AdminClient, apply_job
from epm_task.admin.deploy.policy import (
    Policy,
    make_policy,
    policy_parts,
    read_base,
    read_policy,
)
from epm_task.admin.errors import BadPolicy
from epm_task.testing import Agent

if TYPE_CHECKING:
    from pathlib import Path

BASE = """{
  "PolicyName": "Scan for keys",
  "PolicyType": "JobUpdate",
  "Weight": 1.50,
  "Extension": {"Vendor": {"x": null}, "JobId": "old", "Action": "Delete"},
  "MachineCheck": ["*"]
}"""


def _policy(**extension: object) -> str:
    return json.dumps({"PolicyType": "JobUpdate", "Extension": extension})


def test_a_policy_carries_the_job_as_text() -> None:
    """Exactly the fields that the vendor documents."""
    raw = json.loads(make_policy("probe", "Add", job_document()).text())
    assert list(raw) == ["PolicyType", "Extension"]
    assert raw["PolicyType"] == "JobUpdate"
    assert list(raw["Extension"]) == ["JobId", "Action", "JobJson"]
    assert isinstance(raw["Extension"]["JobJson"], str)
    assert json.loads(raw["Extension"]["JobJson"]) == job_document()


def test_a_policy_that_deletes_has_no_job() -> None:
    """Even when one was given."""
    raw = make_policy("probe", "Delete", job_document()).raw
    assert raw["Extension"] == {"JobId": "probe", "Action": "Delete"}


def test_unknown_fields_pass_through() -> None:
    """With their order, and the digits of their numbers."""
    text = make_policy("probe", "Update", job_document(), read_base(BASE.encode()).raw).text()
    raw = json.loads(text)
    assert list(raw) == ["PolicyName", "PolicyType", "Weight", "Extension", "MachineCheck"]
    assert list(raw["Extension"]) == ["Vendor", "JobId", "Action", "JobJson"]
    assert '"Weight": 1.50' in text
    deleted = make_policy("probe", "Delete", None, raw)
    assert list(deleted.raw["Extension"]) == ["Vendor", "JobId", "Action"]


@pytest.mark.parametrize("text", ["a\u2028b", "tab\t", 'quote"', "line\nend", "\ud800", "  x  "])
def test_any_text_of_a_job_survives(text: str) -> None:
    """What an agent reads is what was written."""
    made = make_policy("probe", "Add", job_document(description=text))
    data = made.text().encode("utf-8", "backslashreplace")
    read = read_policy(data)
    assert read.document == made.document
    assert policy_parts(read, made) == []


def test_what_differs_is_named() -> None:
    """The action, and the fields of the job."""
    one = make_policy("probe", "Add", job_document())
    other = make_policy("probe", "Update", job_document(priority=3))
    assert [part.place for part in policy_parts(one, other)] == ["/Extension/Action", "/priority"]
    deleted = make_policy("probe", "Delete", None)
    assert [part.place for part in policy_parts(one, deleted)] == ["/Extension/Action"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("bad_id", "Add", job_document("bad_id")), "bad_id"),
        (("probe", "Add", None), "carries a job"),
        (("other", "Update", job_document()), "not of 'other'"),
    ],
)
def test_what_cannot_be_a_policy_is_refused(words: tuple[Any, ...], why: str) -> None:
    """One sentence."""
    with pytest.raises(BadPolicy, match=why):
        make_policy(*words)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("[]", "it is a list, not a policy"),
        ("{}", "write PolicyType"),
        (_policy(JobId="a"), "an Action of Add"),
        (_policy(JobId="a", Action="Add"), "one JSON text"),
        (_policy(JobId="a", Action="Add", JobJson={"id": "a"}), "one JSON text"),
        (_policy(JobId="a", Action="Add", JobJson="{"), "no job document"),
        (_policy(JobId="a", Action="Add", JobJson='{"id": "b"}'), "names another"),
        (_policy(JobId="a", Action="Delete", JobJson="{}"), "leave it out"),
    ],
)
def test_a_broken_policy_is_refused(text: str, why: str) -> None:
    """It says what is wrong."""
    with pytest.raises(BadPolicy, match=why):
        read_policy(text.encode())


#: As Commander 18 dumps a policy that was made in the console.
DUMP = {
    "PolicyName": "Scan",
    "PolicyType": "JobUpdate",
    "PolicyId": "uQ3",
    "Status": "enforce",
    "Actions": {"OnSuccess": {"Controls": []}, "OnFailure": {"Command": ""}},
    "RiskLevel": 50,
    "Rules": [{"RuleName": "UserCheck", "Expression": "CheckUser()"}],
    "MachineCheck": ["*"],
    "Extension": None,
    "Unheard": {"of": [1.50, None]},
}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("indent", [None, 4])
def test_nothing_of_a_dump_is_lost(mark: bytes, indent: int | None) -> None:
    """All that is not the job stays, in its order, with a byte order mark or without."""
    base = read_base(mark + json.dumps(DUMP, indent=indent).encode())
    made = make_policy("probe", "Update", job_document(), base.raw).raw
    assert list(made) == list(DUMP)
    assert {**made, "Extension": None} == DUMP
    assert list(made["Extension"]) == ["JobId", "Action", "JobJson"]


def test_a_dump_has_its_job_when_it_can_be_read() -> None:
    """What cannot is replaced, as is the job of another id."""
    for job, found in (
        (json.dumps(job_document()), job_document()),
        ("{}", None),
        ("{", None),
        (job_document(), None),
    ):
        dump = {**DUMP, "Extension": {"JobId": "probe", "JobJson": job}}
        assert read_base(json.dumps(dump).encode()).document == found


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"My Vault> epm policy view Scan", "not JSON: line 1, column 1"),
        (json.dumps(DUMP).encode("utf-16"), "not UTF-8; save it as UTF-8"),
        (json.dumps([DUMP]).encode(), "it is a list, not a policy"),
        (b"null", "it is null, not a policy"),
        (b'"JobUpdate"', "it is no object, not a policy"),
        (b"{}", "it holds no policy: it has no PolicyType; dump one with `epm policy view"),
        (json.dumps(job_document()).encode(), "it holds no policy"),
        (b'{"PolicyType": "PrivilegeElevation"}', "'PrivilegeElevation', not 'JobUpdate'; make"),
        (b'{"PolicyType": ["JobUpdate"]}', "not 'JobUpdate'; make"),
        (b'{"PolicyType": "JobUpdate", "Extension": "x"}', "its Extension is not an object"),
        (b'{"PolicyType": "JobUpdate", "PolicyType": "JobUpdate"}', "twice"),
    ],
)
def test_what_is_no_base_is_named(data: bytes, why: str) -> None:
    """Each says what it is instead, and what to do."""
    with pytest.raises(BadPolicy, match=why) as refused:
        read_base(data)
    assert refused.value.fix


def _carry(agent: Agent, policy: Policy) -> str:
    """Do at one agent what the vendor's engine does with a policy."""
    with AdminClient(agent.base_url, credential_of(agent)) as admin:
        assert policy.document is not None
        return apply_job(admin, policy.document).change


def _files(agent: Agent) -> list[tuple[str, int, bytes]]:
    jobs = sorted((agent.root / "Jobs").glob("*.json"))
    return [(path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in jobs]


def test_one_policy_reaches_twenty_agents_and_twice_changes_nothing(tmp_path: Path) -> None:
    """The binary comes first, by software distribution; then the policy."""
    file = tmp_path / "probe.policy.json"
    file.write_text(make_policy("probe", "Add", job_document()).text(), encoding="utf-8")
    policy = read_policy(file.read_bytes())
    with ExitStack() as stack, ThreadPoolExecutor(4) as threads:
        fleet = [stack.enter_context(Agent()) for _ in range(20)]
        for agent in fleet:
            add_binary(agent)
        assert list(threads.map(_carry, fleet, [policy] * 20)) == ["created"] * 20
        before = [_files(agent) for agent in fleet]
        assert list(threads.map(_carry, fleet, [policy] * 20)) == ["unchanged"] * 20
        assert [_files(agent) for agent in fleet] == before
        assert {len(files) for files in before} == {1}


def test_a_garbled_policy_is_read_or_refused() -> None:
    """As a policy, as the base of another one, and when it is compared."""
    whole = make_policy("probe", "Update", job_document(), json.loads(BASE))
    texts = [json.dumps(variant) for _, variant in garbled(whole.raw)]
    texts += [
        _policy(JobId="probe", Action="Update", JobJson=json.dumps(variant))
        for _, variant in garbled(job_document())
    ]
    refused = 0
    for text in texts:
        try:
            read = read_policy(text.encode())
            policy_parts(read, whole)
            policy_parts(whole, read)
            make_policy("probe", "Update", job_document(), read_base(text.encode()).raw).text()
        except BadPolicy:
            refused += 1
    assert refused > 100
