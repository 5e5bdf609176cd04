"""Tests of the run values."""

from __future__ import annotations

import pytest

from epm_task.simulator.jobs.values import ParameterProblem, run_values


def _values(job: dict, context: dict | None = None, *, windows: bool = False) -> dict[str, str]:
    paths = {"home": "/home/x"}
    return run_values(job, context or {}, paths=paths, base_url="https://h:1", windows=windows)


def test_default_and_context():
    """A parameter takes the context's value, else its default in either spelling, else nothing."""
    a, b = {"name": "A", "defaultValue": 1}, {"name": "B", "default": "x"}
    job = {"parameters": [a, b, {"name": "C"}]}
    assert _values(job, {"B": True}) == {
        "A": "1",
        "B": "true",
        "C": "",
        "home": "/home/x",
        "KeeperApiBaseUrl": "https://h:1",
    }


def test_required_parameter_without_value():
    """The run does not start, and the name is told."""
    with pytest.raises(ParameterProblem, match="'Root' is required"):
        _values({"parameters": [{"name": "Root", "required": True}]})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int", "-3", "3.5"),
        ("number", "3.5", "nan"),
        ("Boolean", "TRUE", "maybe"),
        ("number", 2, "x"),
    ],
)
def test_type_is_checked(kind: str, good: object, bad: object):
    """A value that is none of its type keeps the run from starting, and is not repeated."""
    job = {"parameters": [{"name": "P", "type": kind}]}
    assert "P" in _values(job, {"P": good})
    with pytest.raises(ParameterProblem, match="'P' is declared as") as caught:
        _values(job, {"P": bad})
    assert repr(bad) not in str(caught.value)


def test_nul_is_refused():
    """No argument can hold a NUL character."""
    with pytest.raises(ParameterProblem, match="NUL"):
        _values({"parameters": [{"name": "P"}]}, {"P": "a\0b"})


def test_context_fields_are_tokens():
    """Fields of the event context can be used without a declaration; objects are JSON text."""
    values = _values({}, {"file": "/a", "list": [1, "ä"], "none": None})
    assert values["file"] == "/a"
    assert values["list"] == '[1, "ä"]'
    assert "none" not in values


def test_context_cannot_move_folders_or_the_api():
    """A context cannot take the place of the agent's own values."""
    values = _values({}, {"home": "/evil", "KeeperApiBaseUrl": "https://evil"})
    assert values["home"] == "/home/x"
    assert values["KeeperApiBaseUrl"] == "https://h:1"


def test_declared_parameter_wins_over_a_folder():
    """A job may use the name of a path token for a parameter of its own."""
    job = {"parameters": [{"name": "home", "defaultValue": "/mine"}]}
    assert _values(job)["home"] == "/mine"


def test_case_of_names_does_not_count_on_windows():
    """A context fills a parameter whose name differs in case."""
    job = {"parameters": [{"name": "Root", "required": True}]}
    assert _values(job, {"ROOT": "r"}, windows=True)["Root"] == "r"
    with pytest.raises(ParameterProblem):
        _values(job, {"ROOT": "r"})
