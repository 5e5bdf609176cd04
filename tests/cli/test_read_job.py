"""Tests of reading a document from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from epm_task.cli.read_job import read_job
from epm_task.job.json_source import MAX_BYTES, BadSource

if TYPE_CHECKING:
    from pathlib import Path


def test_a_document_is_read(tmp_path: Path) -> None:
    """With its places."""
    (tmp_path / "a.json").write_text('{\n"id": "a"}')
    document = read_job(tmp_path / "a.json")
    assert document.raw == {"id": "a"}
    assert document.place("/id") == (2, 7)


def test_no_more_is_read_than_a_document_can_have(tmp_path: Path) -> None:
    """A sparse file of a terabyte is refused at once."""
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BadSource, match=f"more than {MAX_BYTES} bytes"):
        read_job(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError):
        read_job(tmp_path / "b.json")
