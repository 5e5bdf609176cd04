"""Tests of the store seen as a mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from epm_task.simulator.settings_store import SettingsStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> SettingsStore:
    """A store with one compiled-in setting."""
    compiled_in = {"KeeperPrivilegeManager": {"broker.port": "1"}}
    return SettingsStore(tmp_path / "Plugins", tmp_path / "store.json", compiled_in)


def test_a_write_makes_the_plugin(store: SettingsStore) -> None:
    """Typed values become text."""
    store.live["KeyScanner"]["max_bytes"] = 10  # type: ignore[assignment]
    assert store.merged("KeyScanner") == {"max_bytes": "10"}
    assert "KeyScanner" in store.live
    assert list(store.live) == ["KeeperPrivilegeManager", "KeyScanner"]


def test_a_whole_plugin_can_be_written(store: SettingsStore) -> None:
    """Other keys stay."""
    store.live["KeeperPrivilegeManager"] = {"a": "1", "b": True}
    assert dict(store.live["KeeperPrivilegeManager"]) == {
        "broker.port": "1",
        "a": "1",
        "b": "true",
    }


def test_a_read_merges_the_layers(store: SettingsStore) -> None:
    """It is a mapping like any other."""
    settings = store.live["KeeperPrivilegeManager"]
    assert settings["broker.port"] == "1"
    assert settings.get("nothing") is None
    assert len(settings) == 1


def test_a_plugin_that_does_not_exist_is_empty(store: SettingsStore) -> None:
    """Looking does not make it."""
    assert dict(store.live["Nobody"]) == {}
    assert "Nobody" not in store.live


def test_a_setting_cannot_be_deleted(store: SettingsStore) -> None:
    """The API has no way to do so; the error says what to do."""
    with pytest.raises(TypeError, match="revert the plugin"):
        del store.live["KeeperPrivilegeManager"]["broker.port"]
