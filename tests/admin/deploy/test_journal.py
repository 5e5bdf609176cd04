"""Tests of the journal: what is under way survives the process that does it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from peers.garbling import garbled

from epm_task.admin.deploy.journal import Journal, read_journal
from epm_task.admin.errors import NoVersion

if TYPE_CHECKING:
    from pathlib import Path


def test_a_step_that_has_begun_is_read_back(tmp_path: Path) -> None:
    """With all that is needed to undo it."""
    path = tmp_path / "journal.json"
    assert read_journal(path) is None
    journal = Journal("probe", 1, 2, True, 3, ["old"], [])
    journal.begin("swap", path)
    assert read_journal(path) == journal
    assert (journal.in_place, journal.registered, journal.accepted) == (True, False, False)


def test_a_step_that_cannot_be_noted_has_not_begun(tmp_path: Path) -> None:
    """The note of the step before counts."""
    journal = Journal("probe", None, 1, True, 3, [], [])
    with pytest.raises(FileNotFoundError):
        journal.begin("swap", tmp_path / "absent" / "journal.json")
    assert journal.step == "save"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (json.dumps({"journal": 2}), "another version of epm-task"),
        (json.dumps({"journal": 1, "name": "probe"}), "missing"),
        ("{", "line 1"),
    ],
)
def test_a_journal_of_somebody_else_is_not_guessed_at(text: str, why: str, tmp_path: Path) -> None:
    """It says what to look at."""
    path = tmp_path / "journal.json"
    path.write_text(text)
    with pytest.raises(NoVersion, match=f"{why}.*then remove it"):
        read_journal(path)


def test_a_garbled_journal_is_refused(tmp_path: Path) -> None:
    """No name of it may lead out of the folder: what it names is removed."""
    path = tmp_path / "journal.json"
    Journal("probe", 1, 2, True, 3, ["old"], ["old-job"]).begin("swap", path)
    refused = 0
    for what, variant in garbled(json.loads(path.read_text())):
        path.write_text(json.dumps(variant))
        with suppress(NoVersion):
            refused += 1
            journal = read_journal(path)
            refused -= 1
            assert journal, what
            names = [journal.name, *journal.gone_programs, *journal.gone_jobs]
            assert [n for n in names if set(n) & set("/\\\0") or n in {"", ".", ".."}] == []
            assert (type(journal.after), journal.after > 0) == (int, True), what
    assert refused > 200
