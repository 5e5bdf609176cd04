"""Tests of reading certificates."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import dated_pair
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from epm_task.admin.certificate import read_der, read_pem
from epm_task.simulator.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_the_facts_are_those_that_a_library_reads() -> None:
    """Names and dates agree with `cryptography`."""
    authority = Authority.create()
    pem = authority.issue_admin().certificate
    ours, theirs = read_pem(pem), x509.load_pem_x509_certificate(pem)
    assert (ours.begins, ours.ends) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)
    assert (ours.common_name, ours.issuer_name) == ("epm-task admin", "epm-task simulator CA")
    assert ours.issuer == read_pem(authority.certificate).subject


def test_a_year_after_2050_is_read(tmp_path: Path) -> None:
    """Such a date has four digits of the year."""
    certificate, _ = dated_pair(tmp_path, from_days=-1, to_days=365 * 60)
    facts = read_pem(certificate.read_bytes())
    assert facts.ends.year > 2080
    assert facts.out_of_date(dt.datetime.now(dt.UTC)) == ""


@given(st.binary(max_size=200))
def test_bytes_that_are_no_certificate_are_refused(data: bytes) -> None:
    """No bytes lead to another kind of error."""
    with pytest.raises(ValueError, match=r"X\.509"):
        read_der(data)
