"""Tests of task settings: the agent's document and nothing else, typed, and never repeated."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence  # noqa: TC003  # pydantic reads it
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from traceback import format_exception
from typing import Annotated, Any, Literal, NewType

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    Json,
    RootModel,
    SecretBytes,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import SettingsConfigDict
from runtime.scanner_settings import SECRET, Color, Dog, Required, Scan, Settings, System

from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.errors import SettingsError, TaskFailed
from epm_task.runtime.settings import TaskSettings

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:  # pydantic demands it
    from typing_extensions import TypedDict


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


class Cat(BaseModel):
    """One of two kinds."""

    kind: Literal["cat"]
    lives: list[int] = []


class Bird(BaseModel):
    """The other."""

    kind: Literal["bird"]
    songs: dict[str, list[int]] = {}


@dataclass
class Place:
    """A dataclass."""

    rooms: list[int]


class Sizes(TypedDict, total=False):
    """A dictionary with fields."""

    widths: list[int]


class Numbers(RootModel[list[int]]):
    """A model that is a list."""


class Word(RootModel[str]):
    """A model that is a text."""


Ports = NewType("Ports", list[int])


class Wide(TaskSettings, plugin="Wide"):
    """Structures in each place."""

    model_config = SettingsConfigDict(populate_by_name=True)

    scan: Scan | None = None
    limits: dict[str, list[int]] = Field({})
    deep: dict[str, dict[str, Scan | None]] = Field({})
    ports: list[int] = Field([], validation_alias=AliasChoices("net.ports", "ports"))
    hosts: list[str] = Field([], validation_alias=AliasPath("net", "hosts"))
    listed: Json[list[int]] = Field("[]")  # type: ignore[arg-type]  # as text
    listed_or_none: Json[list[int]] | None = None
    pet: Cat | Bird | None = Field(None, discriminator="kind")
    place: Place | None = None
    sizes: Sizes | None = None
    some: Annotated[set[int], Field(max_length=5)] | None = None
    pair: tuple[int, str] | None = None
    several: Sequence[int] = ()
    pattern: re.Pattern[str] | None = None
    path: Path = Path()
    texts: dict[str, str] = Field({})
    either: int | str | list[int] = 0
    anything: Any = None
    numbers: Numbers = Numbers([])
    word: Word = Word("")
    named: Ports = Ports([])


@pytest.mark.parametrize(
    ("document", "field", "value"),
    [
        ({"scan.tags": '["a"]'}, "scan", Scan(tags=["a"])),
        ({"scan.label": "[x]"}, "scan", Scan(label="[x]")),
        ({"scan.label": ""}, "scan", Scan(label="")),
        ({"scan": '{"tags": ["a"]}', "scan.depth": "2"}, "scan", Scan(tags=["a"], depth=2)),
        ({"limits.disk": "[1, 2]", "limits.cpu": "[3]"}, "limits", {"disk": [1, 2], "cpu": [3]}),
        ({"deep.a.b.tags": '["x"]'}, "deep", {"a": {"b": Scan(tags=["x"])}}),
        ({"deep.a": '{"b": {"tags": ["x"]}}'}, "deep", {"a": {"b": Scan(tags=["x"])}}),
        ({"net.ports": "[1]"}, "ports", [1]),
        ({"ports": "[1]"}, "ports", [1]),
        ({"net.hosts": '["a"]'}, "hosts", ["a"]),
        ({"listed": "[1]"}, "listed", [1]),
        ({"listed_or_none": "[1]"}, "listed_or_none", [1]),
        ({"pet": '{"kind": "cat", "lives": [9]}'}, "pet", Cat(kind="cat", lives=[9])),
        ({"pet.kind": "cat", "pet.lives": "[9]"}, "pet", Cat(kind="cat", lives=[9])),
        (
            {"pet.kind": "bird", "pet.songs.a": "[1]"},
            "pet",
            Bird(kind="bird", songs={"a": [1]}),
        ),
        ({"place.rooms": "[1]"}, "place", Place([1])),
        ({"sizes.widths": "[1]"}, "sizes", {"widths": [1]}),
        ({"some": "[1, 1]"}, "some", {1}),
        ({"pair": '[1, "a"]'}, "pair", (1, "a")),
        ({"several": "[1]"}, "several", [1]),
        ({"pattern": "[1]"}, "pattern", re.compile("[1]")),
        ({"path": "[1]"}, "path", Path("[1]")),
        ({"texts.a": "[1]", "texts.b": ""}, "texts", {"a": "[1]", "b": ""}),
        ({"either": "[1]"}, "either", "[1]"),
        ({"anything": "[1]"}, "anything", "[1]"),
        ({"numbers": "[1]"}, "numbers", Numbers([1])),
        ({"word": "[1]"}, "word", Word("[1]")),
        ({"named": "[1]"}, "named", [1]),
    ],
)
def test_text_is_read_as_the_type_wants(
    document: dict[str, str], field: str, value: object
) -> None:
    """Lists and objects wherever a type asks for one, once; and text wherever it takes text."""
    assert getattr(Wide.from_document(document), field) == value


def test_a_wrong_model_is_told_where_it_is_written() -> None:
    """Not at the first run."""
    with pytest.raises(TypeError, match="discriminated"):

        class Wrong(TaskSettings, plugin="P"):
            field: Annotated[int, Field(discriminator="kind")]


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


@pytest.mark.parametrize("kind", [ValueError, KeyError, TaskFailed])
def test_validator_shows_no_secret(kind: type[Exception]) -> None:
    """What a validator of the author's raises may hold a secret: its place is told, no more."""

    class Checked(TaskSettings, plugin="KeyScanner"):
        token: SecretStr

        @field_validator("token")
        @classmethod
        def _check(cls, token: SecretStr) -> SecretStr:
            raise kind(token.get_secret_value())

    with pytest.raises(SettingsError) as refused:
        Checked.from_document({"token": SECRET})
    assert "hunter" not in "".join(format_exception(refused.value))
    assert kind is ValueError or f"{kind.__name__} at {__file__}:" in str(refused.value)


def test_direct_construction_is_for_tests() -> None:
    """A test of a handler makes its settings by keyword."""
    settings = Settings(number=5, scan=Scan(depth=2))  # type: ignore[call-arg]  # as above
    assert settings.scan.depth == 2
