"""Tests of the rules of identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from job.rules.one_document import hits, with_arguments

from epm_task.job.document import JobDocument
from epm_task.job.rules import RULES
from epm_task.job.subject import Subject


def test_an_underscore_has_a_proposal() -> None:
    """With hyphens in its place."""
    (hit,) = hits("EPM001", id="a_b_")
    assert 'write "a-b"' in hit.fix
    assert hits("EPM021", id="a_b") == []


def test_an_id_of_other_characters_is_a_wrong_field() -> None:
    """It is said once."""
    assert hits("EPM001", id="a b") == []
    assert len(hits("EPM021", id="a b")) == 1


def test_a_document_without_a_file_has_no_file_name() -> None:
    """Nor has one without an id."""
    check = RULES["EPM002"].check
    assert list(check(Subject(JobDocument({"id": "a"})))) == []
    assert list(check(Subject(JobDocument({}), file=Path("a.json")))) == []


@pytest.mark.parametrize(
    ("alternate", "neighbours", "found"),
    [
        ("probe", None, 1),
        ("other", None, 0),
        ("other", frozenset({"other"}), 0),
        ("other", frozenset({"probe"}), 1),
    ],
)
def test_the_alternate_job_exists(
    alternate: str, neighbours: frozenset[str] | None, found: int
) -> None:
    """Beside the file, when there is one; the job itself is not an alternative."""
    document = JobDocument({"id": "probe", "alternateJobId": alternate})
    subject = Subject(document, neighbours=neighbours)
    assert len(list(RULES["EPM025"].check(subject))) == found


def test_a_parameter_is_declared_once() -> None:
    """The second one is pointed at; parameters without a name are another rule's matter."""
    parameters = [{"name": "A"}, {"name": "B"}, {"name": "A"}, {}, {}]
    assert [hit.pointer for hit in hits("EPM025", parameters=parameters)] == ["/parameters/2/name"]


@pytest.mark.parametrize(
    ("systems", "found"), [(None, ["/parameters/1/name"]), ({"windows": False}, [])]
)
def test_the_case_of_a_parameter_counts(systems: dict[str, bool] | None, found: list[str]) -> None:
    """Except on Windows."""
    parameters = [{"name": "Root"}, {"name": "root"}]
    given = hits("EPM025", parameters=parameters, osFilter=systems)
    assert [hit.pointer for hit in given] == found


@pytest.mark.parametrize(
    ("systems", "found"),
    [({}, 1), ({"windows": False}, 1), ({"windows": False, "macOS": False}, 0)],
)
def test_ids_that_differ_by_case_are_one_file(systems: dict[str, bool], found: int) -> None:
    """On Windows and macOS."""
    document = JobDocument({"id": "scan", "osFilter": systems})
    subject = Subject(document, neighbours=frozenset({"scan", "SCAN", "scanner"}))
    given = list(RULES["EPM031"].check(subject))
    assert [hit.pointer for hit in given] == ["/id"] * found
    assert all("'scan' and 'SCAN'" in hit.what for hit in given)


def test_no_job_has_the_name_of_a_device() -> None:
    """On no system, as a job travels; the proposal is an id."""
    (hit,) = hits("EPM031", id="nul.check", osFilter={"windows": False})
    assert 'write "job-nul.check"' in hit.fix


@pytest.mark.parametrize("command", ["con", "AUX.tool", "probe.", "probe ", "a:b", "what?"])
def test_windows_has_no_such_command(command: str) -> None:
    """Other systems have."""
    (hit,) = hits("EPM031", task={"command": command})
    assert hit.pointer == "/tasks/0/command"
    assert hits("EPM031", task={"command": command}, osFilter={"windows": False}) == []


def test_what_other_rules_say_is_not_said_again() -> None:
    """About the schedule and the command."""
    document: dict[str, Any] = {
        "schedule": {"intervalMinutes": 0},
        "tasks": [{"id": "a", "command": 5}, {"id": "b"}],
    }
    assert hits("EPM021", **document) == []


@pytest.mark.parametrize(
    "arguments",
    [
        '--x="{ApiToken}"',
        "{password}",
        "--x {ClientSecret}",
        "--db-password=hunter2",
        "--api-key abc",
        "-token=abc",
        '--x="{Credentials}"',
    ],
)
def test_secrets_by_their_names(arguments: str) -> None:
    """A token, or an option with a value."""
    (found,) = with_arguments("EPM022", arguments)
    assert "looks like a secret" in found


@pytest.mark.parametrize(
    "arguments",
    [
        '--token-file="{TokenFile}"',
        "--password-path=/etc/x",
        "--max-tokens-per-run=5",
        "--tokenize=yes",
        '"{SecretName}"',
        "--passwords-file={PasswordFile}",
        "--no-password --other",
    ],
)
def test_names_of_files_are_no_secrets(arguments: str) -> None:
    """Nor are words that only hold one."""
    assert with_arguments("EPM022", arguments) == []
