"""Tests of the rules of arguments."""

from __future__ import annotations

from typing import Any

import pytest
from job.rules.one_document import hits, with_arguments

ROOT = [{"name": "Root", "type": "string"}]
WINDOWS = {"windows": True, "linux": False, "macOS": False}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("--base={KeeperApiBaseUrl}", 0),
        ('"{KeeperApiBaseUrl}"', 0),
        ('--x="{KeeperApiBaseUrl}', 0),
        ("--base={keeperapibaseurl}", 1),
        ("--base=KeeperApiBaseUrl", 1),
        (None, 1),
    ],
)
def test_the_address_is_a_token(arguments: str | None, found: int) -> None:
    """Its case counts; a quote that is not closed is another rule's matter."""
    assert len(hits("EPM006", task={"arguments": arguments})) == found


def test_on_windows_the_case_of_a_token_does_not_count() -> None:
    """When the job runs nowhere else."""
    task = {"arguments": "{keeperapibaseurl} {ROOT}"}
    assert hits("EPM006", task=task, osFilter=WINDOWS) == []
    assert hits("EPM008", task=task, osFilter=WINDOWS, parameters=ROOT) == []
    assert len(hits("EPM008", task=task, parameters=ROOT)) == 2


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ("--port=8675", "port 8675"),
        ("--url=https://127.0.0.1:6889/api", "port 6889"),
        ("--url=http://127.0.0.1:6888", "address http://127.0.0.1:6888"),
        ("--url=HTTP://intranet", "address HTTP://intranet"),
    ],
)
def test_fixed_addresses(arguments: str, what: str) -> None:
    """Each is one finding."""
    (found,) = with_arguments("EPM007", arguments)
    assert found.startswith(f"{what} is written in arguments")


@pytest.mark.parametrize("arguments", ["--count=16889", "--size=66880", "--url=https://x"])
def test_other_numbers_are_no_ports(arguments: str) -> None:
    """A port is a number of its own."""
    assert with_arguments("EPM007", arguments) == []


def test_an_unknown_token_has_a_proposal() -> None:
    """The name that was meant, or a parameter to declare."""
    task = {"arguments": "{root} {Rot} {Other}"}
    fixes = [hit.fix for hit in hits("EPM008", task=task, parameters=ROOT)]
    assert fixes == ["write {Root}", "write {Root}", "declare the parameter 'Other'"]


@pytest.mark.parametrize(
    ("rule", "token", "found"),
    [
        (None, "systemroot", 0),
        (None, "library", 0),
        (WINDOWS, "systemroot", 0),
        (WINDOWS, "home", 1),
        ({"windows": False}, "home", 0),
        ({"windows": False}, "library", 1),
        ({"linux": False}, "pluginroot", 0),
    ],
)
def test_path_tokens_depend_on_the_systems(
    rule: dict[str, bool] | None, token: str, found: int
) -> None:
    """With a filter a token must exist wherever the job runs."""
    assert len(with_arguments("EPM008", f'"{{{token}}}"', osFilter=rule)) == found


def test_results_of_earlier_tasks_are_tokens() -> None:
    """What they are called is not known, so nothing is said."""
    first = {"id": "a", "command": "a", "arguments": "{X}", "MergeStdoutJsonIntoContext": True}
    second = {"id": "b", "command": "b", "arguments": "{found}"}
    assert [hit.pointer for hit in hits("EPM008", tasks=[first, second])] == ["/tasks/0/arguments"]


def test_a_dollar_is_no_part_of_a_token() -> None:
    """It would stay in the argument."""
    (found,) = with_arguments("EPM008", '"${Root}"', parameters=ROOT)
    assert "without $" in found


@pytest.mark.parametrize(
    "fields",
    [
        {"task": {"arguments": '"{Root}"'}},
        {"task": {"executablePath": "{Root}/x"}},
        {"condition": {"equals": ["Root", 1]}},
    ],
)
def test_a_parameter_may_be_used_anywhere(fields: dict[str, Any]) -> None:
    """In arguments, in other texts, in a condition."""
    assert hits("EPM009", parameters=ROOT, **fields) == []


def test_a_parameter_that_nothing_names_is_unused() -> None:
    """Its place is its name."""
    (hit,) = hits("EPM009", parameters=ROOT, task={"arguments": "{root} Root"})
    assert hit.pointer == "/parameters/0/name"


@pytest.mark.parametrize(
    ("arguments", "kind", "found"),
    [
        ("--a={Root}", "string", 1),
        ("--a={Root}", "", 1),
        ('--a="{Root}"', "string", 0),
        ('"--a={Root}"', "string", 0),
        ("--a='{Root}'", "string", 0),
        ("--a={Root}", "Integer", 0),
        ("--a={Root}", "boolean", 0),
        ("--a={home}", "string", 1),
        ("--a={hasdesktop}", "string", 0),
        ("--a={Unknown}", "string", 0),
        ('--a="{Root}', "string", 1),
    ],
)
def test_quotes(arguments: str, kind: str, found: int) -> None:
    """Texts and folders need them; a quote that is not closed is found too."""
    parameters = [{"name": "Root", "type": kind}]
    assert len(with_arguments("EPM020", arguments, parameters=parameters)) == found


@pytest.mark.parametrize(
    ("parameter", "fields", "found"),
    [
        ({"required": True}, {}, 1),
        ({"required": True}, {"schedule": None, "events": ["Startup"]}, 1),
        ({"required": True}, {"schedule": None}, 0),
        ({"required": True, "default": "/"}, {}, 0),
        ({"required": True, "defaultValue": ""}, {}, 0),
        ({"required": False}, {}, 0),
        ({}, {}, 0),
    ],
)
def test_required_parameters(parameter: dict[str, Any], fields: dict[str, Any], found: int) -> None:
    """A job that only the API starts gets its values from the trigger."""
    assert len(hits("EPM024", parameters=[{"name": "Root", **parameter}], **fields)) == found


@pytest.mark.parametrize(
    ("default", "found"),
    [
        ("C:\\My Data", []),
        ("{", []),
        (5, []),
        ("C:\\My Data\\", ["ends in a backslash"]),
        ('say "hi"\\', ["holds a double quote", "ends in a backslash"]),
        ({"a": 1}, ["holds a double quote"]),
        ("{host}.csv", ["holds braces"]),
    ],
)
@pytest.mark.parametrize("key", ["default", "defaultValue"])
def test_a_default_that_may_be_read_otherwise(key: str, default: object, found: list[str]) -> None:
    """By an agent that fills the tokens before it splits, or one after the other."""
    parameters = [{"name": "Root", "type": "string", key: default}]
    whats = hits("EPM027", parameters=parameters)
    assert [hit.what.split("'Root' ")[1].split(",")[0] for hit in whats] == found
