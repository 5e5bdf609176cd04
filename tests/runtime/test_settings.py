"""Tests of task settings: the agent's document and nothing else, typed, and never repeated."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretBytes, SecretStr, ValidationError
from runtime.scanner_settings import SECRET, Color, Dog, Required, Scan, Settings, System

from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.errors import SettingsError
from epm_task.runtime.settings import TaskSettings


@pytest.mark.parametrize(
    ("document", "field", "value"),
    [
        ({"number": "7"}, "number", 7),
        ({"number": " 7 "}, "number", 7),
        ({"number": ""}, "number", 0),
        ({"maybe": ""}, "maybe", None),
        ({"text": ""}, "text", ""),
        ({"text": "[1]"}, "text", "[1]"),
        ({"maybe_text": ""}, "maybe_text", ""),
        ({"maybe_text": "{x"}, "maybe_text", "{x"),
        ({"flag": "yes"}, "flag", True),
        ({"flag": "False"}, "flag", False),
        ({"numbers": "[1, 2]"}, "numbers", [1, 2]),
        ({"texts": ' ["a", "b"]'}, "texts", ["a", "b"]),
        ({"texts": ""}, "texts", []),
        ({"limits": '{"a": "1"}'}, "limits", {"a": 1}),
        ({"limits.a": "1", "limits.b": "2"}, "limits", {"a": 1, "b": 2}),
        ({"either": "x"}, "either", "x"),
        ({"period": "PT5M"}, "period", timedelta(minutes=5)),
        ({"day": "2026-01-31"}, "day", date(2026, 1, 31)),
        ({"color": "red"}, "color", Color.RED),
        ({"account": "User"}, "account", "User"),
        ({"place": "/a"}, "place", Path("/a")),
        ({"place": "[a]"}, "place", Path("[a]")),
        ({"token": "[x"}, "token", SecretStr("[x")),
        ({"token": ""}, "token", SecretStr("")),
        ({"key": ""}, "key", SecretBytes(b"")),
        ({"tokens": '["a"]'}, "tokens", [SecretStr("a")]),
        ({"scan.depth": "3", "scan.label": ""}, "scan", Scan(depth=3, label="")),
        ({"scan.depth": ""}, "scan", Scan()),
        ({"scan.tags": '["a"]'}, "scan", Scan(tags=["a"])),
        ({"scan": '{"depth": "3"}'}, "scan", Scan(depth=3)),
        ({"scan.label": "x", "scan": '{"depth": 3}'}, "scan", Scan(depth=3, label="x")),
        ({"scan.depth": "3", "scan.depth.of": "4"}, "scan", Scan(depth=3)),
        ({"scan.unknown": "3", "unknown": "4", "": "5", ".": "6"}, "scan", Scan()),
        ({"broker.port": "80"}, "port", 80),
        ({"broker.host": ""}, "host", ""),
        ({"broker.host": "[::1]"}, "host", "[::1]"),
        ({"pet.kind": "dog"}, "pet", Dog(kind="dog")),
    ],
)
def test_text_becomes_a_value(document: dict[str, str], field: str, value: object) -> None:
    """The agent holds text only; each field reads it as its type."""
    found = Settings.from_document(document)
    assert getattr(found, field) == value
    untouched = Settings.from_document({}).model_dump(exclude={field})
    assert found.model_dump(exclude={field}) == untouched


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {"number": SECRET},
            "setting number of KeyScanner is invalid: input should be a valid int",
        ),
        ({"number": "[5]"}, "setting number of KeyScanner is invalid"),
        (
            {"flag": SECRET},
            "setting flag of KeyScanner is invalid: input should be a valid boolean",
        ),
        ({"account": SECRET}, "input should be 'Service' or 'User'"),
        ({"color": SECRET}, "input should be 'red'"),
        (
            {"numbers": "1,2"},
            "setting numbers of KeyScanner is invalid: input should be a valid list",
        ),
        ({"numbers": "[" * 100_000}, "setting numbers of"),
        ({"numbers": f'["{SECRET}"]'}, "setting numbers of"),
        ({"limits": f'{{"{SECRET}": "x"}}'}, "setting limits of KeyScanner is invalid"),
        ({"identity": SECRET}, "setting identity of KeyScanner is invalid: the settings model"),
        ({"scan.depth": SECRET}, "setting scan.depth of"),
        ({"scan": SECRET, "scan.depth": "2"}, "setting scan of"),
        ({"broker.port": SECRET}, "setting broker.port of"),
        ({"maybe_text": SECRET * 2}, "setting maybe_text of"),
        ({"pet.kind": SECRET}, "setting pet of"),
        ({"even": "3"}, "setting even of KeyScanner is invalid: the settings model refused it"),
        ({"custom": "1"}, "setting custom of KeyScanner is invalid: the settings model refused it"),
        ({"custom": "2"}, "setting custom of KeyScanner is invalid: the settings model refused it"),
        ({"number": "5000"}, "setting (several together) of KeyScanner is invalid"),
        ({"number": SECRET, "flag": SECRET, "even": "1"}, "(and 2 more)"),
    ],
)
def test_invalid_value_is_told_by_its_key(document: dict[str, str], words: str) -> None:
    """The error names the setting's key and the rule, and repeats no part of the value."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_document(document)
    assert words in str(refused.value)
    assert "hunter" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert "hunter" not in repr(refused.value.__context__)
    assert refused.value.exit_code == 65


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "setting number of KeyScanner is missing (and 2 more)"),
        (
            {"number": "", "scan.depth": "1", "login": "x"},
            "setting number of KeyScanner is missing",
        ),
        ({"number": "1", "login": "x"}, "setting scan of KeyScanner is missing"),
        ({"number": "1", "scan.depth": "1"}, "setting login of KeyScanner is missing"),
    ],
)
def test_missing_key_is_named(document: dict[str, str], words: str) -> None:
    """A key that the document does not hold, or holds empty, is missing."""
    with pytest.raises(SettingsError) as refused:
        Required.from_document(document)
    assert words in str(refused.value)


def test_missing_part_of_a_value_is_told_by_its_key() -> None:
    """What is missing in a setting's own JSON text makes that setting invalid."""

    class Nested(TaskSettings, plugin="P"):
        logins: dict[str, Required]

    with pytest.raises(SettingsError) as refused:
        Nested.from_document({"logins": f'{{"{SECRET}": {{}}}}'})
    assert "setting logins of P is invalid: field required" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_environment_is_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables named like fields, a planted .env and a secrets folder change nothing."""
    for name in (
        "NUMBER",
        "number",
        "SCAN__DEPTH",
        "scan.depth",
        "broker.port",
        "KEYSCANNER_NUMBER",
    ):
        monkeypatch.setenv(name, "666")
    (tmp_path / ".env").write_text("NUMBER=666\nTEXT=evil\n")
    (tmp_path / "number").write_text("666")
    monkeypatch.chdir(tmp_path)
    settings = Settings()  # type: ignore[call-arg]  # mypy does not see the defaults of aliases
    assert Settings.from_document({}).model_dump() == settings.model_dump()
    assert settings.number == 0
    assert os.environ["NUMBER"] == "666"
    with pytest.raises(SettingsError, match="setting number of KeyScanner is missing"):
        Required.from_document({})


def test_subclass_names_its_plugin() -> None:
    """A plugin is named in the class line; without one it is the system, or the parent's."""

    class Child(Settings):
        more: int = 1

    assert (System.plugin_id, Settings.plugin_id) == (SYSTEM_PLUGIN, "KeyScanner")
    assert Child.plugin_id == "KeyScanner"
    assert Child.from_document({"more": "2", "number": "3"}).number == 3


def test_settings_do_not_change_during_a_run() -> None:
    """A handler cannot change what the agent gave."""
    settings: Any = Settings.from_document({"number": "1"})
    with pytest.raises(ValidationError):
        settings.number = 2
    assert settings.number == 1


def test_settings_show_no_secret() -> None:
    """A secret is not in what a settings object shows of itself."""
    settings = Settings.from_document({"token": SECRET, "tokens": f'["{SECRET}"]', "key": SECRET})
    assert "hunter" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.token.get_secret_value() == SECRET


def test_direct_construction_is_for_tests() -> None:
    """A test of a handler makes its settings by keyword."""
    settings = Settings(number=5, scan=Scan(depth=2))  # type: ignore[call-arg]  # as above
    assert settings.scan.depth == 2
