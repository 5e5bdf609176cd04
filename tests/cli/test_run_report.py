"""Tests of what `epm-task run` says when the run is over."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cli.command import task_file

from epm_task.cli.run_report import as_line, document, exit_code_of, hints, summary
from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.testing import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run of a small program that is no task."""
    file = task_file(tmp_path_factory.mktemp("program"), "import os; os.write(2, b'\\xff a\\n')")
    with Agent() as agent:
        yield agent.run(file)


@pytest.mark.parametrize(("code", "seen"), [(0, 0), (3, 3), (143, 143), (-9, 137), (-15, 143)])
def test_exit_code(run: Run, code: int, seen: int):
    """A signal becomes 128 plus its number; all else stays."""
    assert exit_code_of(replace(run, exit_code=code)) == seen


@pytest.mark.parametrize(
    ("tries", "seconds", "acknowledged", "text"),
    [
        (0, None, 0, "never registered (0 tries); 0 records acknowledged"),
        (1, 0.0414, 1, "registered after 1 try, 41 ms; 1 record acknowledged"),
        (4, 1.5, 12, "registered after 4 tries, 1500 ms; 12 records acknowledged"),
    ],
)
def test_summary(run: Run, tries: int, seconds: float | None, acknowledged: int, text: str):
    """The summary counts in proper English."""
    registration = replace(run.registration, tries=tries, seconds=seconds)
    line = summary(replace(run, registration=registration, acknowledged=acknowledged, exit_code=77))
    assert line.startswith(f"{text}; ")
    assert line.endswith(" s; exit 77 (NOPERM)")


def test_hints(run: Run):
    """A failed run gets no hint; one that never asked, or printed no result, gets one each."""
    registered = replace(run.registration, tries=1, seconds=0.1)
    assert len(hints(run)) == 1
    assert hints(replace(run, registration=registered)) == []
    assert hints(replace(run, exit_code=1, stdout=b"x")) == []
    assert hints(replace(run, registration=registered, stdout=b" \n")) == []
    assert len(hints(replace(run, stdout=b"x"))) == 2
    assert hints(replace(run, registration=registered, stdout=b"{}", result={})) == []


def test_document_is_json(run: Run):
    """Output that is no UTF-8 does not break the report."""
    assert json.loads(as_line(run)) == json.loads(json.dumps(document(run)))
    assert document(run)["stderr"] == ["� a"]
