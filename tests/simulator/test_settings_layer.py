"""Tests of settings from one source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from epm_task.simulator.settings_layer import (
    is_plugin_name,
    plugin_files,
    read_plugin_file,
    setting_text,
    settings_hash,
)
from epm_task.simulator.unusable_file import UnusableFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        ("", ""),
        (10, "10"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        ({"value": 10, "type": "number"}, "10"),
        ({"a": "ü"}, '{"a": "ü"}'),
        ([1, "a"], '[1, "a"]'),
    ],
)
def test_typed_values_become_text(value: Any, text: str) -> None:
    """Every JSON value has one text."""
    assert setting_text(value) == text


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", ".hidden", "a\0", "x" * 129])
def test_a_name_that_leads_elsewhere_is_no_plugin(name: str) -> None:
    """A plugin's id is a file name."""
    assert not is_plugin_name(name)


def test_only_json_files_with_a_plugins_name_are_plugins(tmp_path: Path) -> None:
    """Temporary files, folders and other files are passed over."""
    for name in ("A.json", "b.json", ".c.json", "d.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "e.json").mkdir()
    assert [plugin for plugin, _ in plugin_files(tmp_path)] == ["A", "b"]


@pytest.mark.parametrize(("text", "line"), [("{\n,}", 2), ("[]", 1)])
def test_a_broken_plugin_file_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    """An array is no object of settings."""
    path = tmp_path / "A.json"
    path.write_text(text)
    with pytest.raises(UnusableFile, match=rf"A\.json, line {line}: "):
        read_plugin_file(path)


def test_a_plugin_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The reason is that of the operating system."""
    with pytest.raises(UnusableFile, match=r"A\.json: No such file"):
        read_plugin_file(tmp_path / "A.json")


def test_a_hash_does_not_depend_on_the_order() -> None:
    """Two documents with the same settings are the same."""
    assert settings_hash({"a": "1", "b": "2"}) == settings_hash({"b": "2", "a": "1"})
    assert settings_hash({"a": "1"}) != settings_hash({"a": "2"})
