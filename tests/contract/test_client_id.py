"""Tests of the client id: what the broker can find a job id in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epm_task.contract.client_id import check_job_id, job_id_of, make_client_id, usable_job_id
from epm_task.contract.names import is_device
from epm_task.errors import BadClientIdTemplate, BadJobId

JOB_IDS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,40}[A-Za-z0-9-])?", fullmatch=True).filter(
    lambda job_id: not is_device(job_id)
)
TEMPLATES = ["{job_id}_{run_id}", "{run_id}_{job_id}", "task_{job_id}_{job_name}_{run_id}"]


@pytest.mark.parametrize("job_id", ["key-scanner", "a", "A.b-9", "x" * 128])
def test_good_job_id_is_returned(job_id: str) -> None:
    """Letters, digits, dots and hyphens make a job id."""
    assert check_job_id(job_id) == job_id


@pytest.mark.parametrize(
    "job_id",
    [
        "bad_id",
        "",
        "..",
        ".hidden",
        "last.",
        "-x",
        "a/b",
        "a%2fb",
        "a b",
        "a\n",
        "ä",
        "x" * 129,
        "a\0",
        "{J}",
        "con",
        "NUL.check",
    ],
)
def test_bad_job_id_is_refused(job_id: str) -> None:
    """What the broker, a file name or a URL cannot carry is not a job id."""
    with pytest.raises(BadJobId):
        check_job_id(job_id)


@pytest.mark.parametrize(
    "text", ["nul", "Con.check", "LPT1." + "x" * 118 + "...x", "x" * 127 + ".x", "a_b", "", "..."]
)
def test_what_is_suggested_is_a_job_id(text: str) -> None:
    """Whatever was refused."""
    with pytest.raises(BadJobId):
        check_job_id(text)
    assert check_job_id(usable_job_id(text))


def test_underscore_is_explained() -> None:
    """The refusal of an underscore says what the broker does with it."""
    with pytest.raises(BadJobId, match="splits client ids on _"):
        check_job_id("bad_id")


@given(JOB_IDS, st.text(max_size=20), st.sampled_from(TEMPLATES))
def test_broker_finds_the_job_id(job_id: str, name: str, template: str) -> None:
    """Whatever the name of the job, splitting on `_` gives the job id back."""
    client_id = make_client_id(job_id, "r_1", job_name=name, template=template)
    assert job_id_of(client_id, template=template) == job_id


def test_default_is_job_then_run() -> None:
    """Without a template the job id comes first."""
    assert make_client_id("key-scanner", "7f") == "key-scanner_7f"


@pytest.mark.parametrize(
    "template", ["x", "{job_id}{run_id}", "{job_id}_{job_id}", "{job_id}_{nonsense}", "a{job_id}_b"]
)
def test_template_without_a_job_segment_is_refused(template: str) -> None:
    """The job id must be one whole segment, and every placeholder a known one."""
    with pytest.raises(BadClientIdTemplate):
        make_client_id("a", "b", template=template)


@pytest.mark.parametrize("text", ["\udcff", "\0", "\n", "x" * 65_536, "ä" * 32_768])
def test_template_that_mqtt_cannot_carry_is_refused(text: str) -> None:
    """No lone surrogate, no control character, and at most 65 535 bytes."""
    with pytest.raises(BadClientIdTemplate, match="not printable, or more than 65535 bytes"):
        make_client_id("a", "b", template=f"{{job_id}}_{text}")


@pytest.mark.parametrize(
    ("client_id", "template"), [("", "{job_id}_{run_id}"), ("only", "{run_id}_{job_id}")]
)
def test_foreign_client_id_has_no_job(client_id: str, template: str) -> None:
    """A client id of another form yields no job id."""
    assert job_id_of(client_id, template=template) is None
