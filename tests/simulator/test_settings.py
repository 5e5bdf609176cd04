"""Tests of the settings store."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from epm_task.simulator.settings import (
    SettingsStore,
    UnknownKey,
    UnknownPlugin,
    is_plugin_name,
    setting_text,
    settings_hash,
)
from epm_task.simulator.start_error import UnusableFile

if TYPE_CHECKING:
    from pathlib import Path


_WRITER = """
import pathlib, sys
from epm_task.simulator.settings import SettingsStore
root = pathlib.Path(sys.argv[1])
store = SettingsStore(root / "Plugins", root / "store.json", {"P": {"n": "0"}})
start = int(store.value("P", "n"))
for number in range(start + 1, start + 100_000):
    store.put("P", "n", str(number))
    print(number, flush=True)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the JSON of one plugin."""
    (tmp_path / "Plugins").mkdir()
    (tmp_path / "Plugins" / "Scanner.json").write_text('{"a": "disk", "b": "disk"}')
    return tmp_path


def open_store(root: Path) -> SettingsStore:
    """Open the store of *root*, with defaults."""
    compiled_in = {"Scanner": {"b": "default", "c": "default"}}
    return SettingsStore(root / "Plugins", root / "store.json", compiled_in)


def test_the_three_layers_merge(root: Path) -> None:
    """Unified storage wins over the disk, the disk over compiled-in defaults."""
    store = open_store(root)
    store.put("Scanner", "a", "put")
    assert store.merged("Scanner") == {"a": "put", "b": "disk", "c": "default"}


def test_the_system_plugin_always_exists(root: Path) -> None:
    """Its defaults may come later, as the broker's port does."""
    store = SettingsStore(root / "Plugins", root / "store.json")
    assert store.merged("KeeperPrivilegeManager") == {}
    store.define("KeeperPrivilegeManager", {"broker.port": "1"})
    assert store.value("KeeperPrivilegeManager", "broker.port") == "1"
    assert store.plugins() == ["KeeperPrivilegeManager", "Scanner"]


def test_unknown_names_are_told_apart(root: Path) -> None:
    """A plugin without the key, and no such plugin."""
    store = open_store(root)
    with pytest.raises(UnknownKey):
        store.value("Scanner", "z")
    for call in (store.merged, store.revert, store.status):
        with pytest.raises(UnknownPlugin):
            call("Nobody")
    with pytest.raises(UnknownPlugin):
        store.put("../x", "a", "1", create=True)


def test_a_written_value_survives_a_restart(root: Path) -> None:
    """Typed values are text by then."""
    open_store(root).put("Scanner", "a", 10)
    assert open_store(root).value("Scanner", "a") == "10"


def test_revert_imports_the_disk_again(root: Path) -> None:
    """Written values of this plugin go, those of others stay, and a new file is read."""
    store = open_store(root)
    store.put("Scanner", "a", "put")
    store.put("KeeperPrivilegeManager", "k", "put")
    (root / "Plugins" / "Scanner.json").write_text('{"a": "new"}')
    assert store.value("Scanner", "b") == "disk"
    store.revert("Scanner")
    assert store.merged("Scanner") == {"a": "new", "b": "default", "c": "default"}
    assert store.value("KeeperPrivilegeManager", "k") == "put"
    assert open_store(root).value("Scanner", "a") == "new"


def test_revert_of_a_plugin_without_a_file_leaves_the_defaults(root: Path) -> None:
    """The file was taken away meanwhile."""
    store = open_store(root)
    (root / "Plugins" / "Scanner.json").unlink()
    store.revert("Scanner")
    assert store.merged("Scanner") == {"b": "default", "c": "default"}


def test_revert_all_imports_every_file(root: Path) -> None:
    """Also a new one."""
    store = open_store(root)
    store.put("Scanner", "a", "put")
    (root / "Plugins" / "New.json").write_text('{"n": 1}')
    store.revert_all()
    assert store.value("Scanner", "a") == "disk"
    assert store.plugins() == ["KeeperPrivilegeManager", "New", "Scanner"]


def test_a_plugin_deployed_later_is_found_when_it_is_asked_for(root: Path) -> None:
    """No restart is needed."""
    store = open_store(root)
    (root / "Plugins" / "New.json").write_text('{"n": 1}')
    assert store.merged("New") == {"n": "1"}


def test_status_shows_where_the_change_is(root: Path) -> None:
    """A written value, or a file that has changed since its import."""
    store = open_store(root)
    clean = store.status("Scanner")
    assert clean["changed"] is False
    assert clean["importedHash"] == clean["diskHash"]
    (root / "Plugins" / "Scanner.json").write_text('{"a": "new"}')
    edited = store.status("Scanner")
    assert edited["changed"] is True
    assert edited["importedHash"] != edited["diskHash"]
    store.revert("Scanner")
    assert store.status("Scanner")["changed"] is False
    store.put("Scanner", "a", "put")
    assert store.status("Scanner")["changed"] is True
    assert store.status("KeeperPrivilegeManager")["diskHash"] is None


def test_a_broken_plugin_file_does_not_keep_others_out(root: Path) -> None:
    """It is a problem, and its plugin exists with its defaults."""
    (root / "Plugins" / "Scanner.json").write_text("{")
    (root / "Plugins" / "Good.json").write_text('{"g": "1"}')
    store = open_store(root)
    assert [problem.path.name for problem in store.problems] == ["Scanner.json"]
    assert store.merged("Scanner") == {"b": "default", "c": "default"}
    assert store.value("Good", "g") == "1"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"plugins": {}}',
        b'{"version": 1}',
        b'{"version": 1, "plugins": {"P": {"n": 1}}}',
        b'{"version": 1, "plugins": {"P": 1}}',
    ],
)
def test_a_corrupt_store_is_reported_and_not_overwritten(root: Path, content: bytes) -> None:
    """The error names the file and says that it was left as it is."""
    (root / "store.json").write_bytes(content)
    with pytest.raises(UnusableFile, match=r"store\.json.*the file was not changed"):
        open_store(root)
    assert (root / "store.json").read_bytes() == content


def test_a_store_that_cannot_be_read_is_reported(root: Path) -> None:
    """A folder in its place is not a store."""
    (root / "store.json").mkdir()
    with pytest.raises(UnusableFile, match="it is a folder"):
        open_store(root)


def test_a_write_that_fails_changes_nothing(root: Path) -> None:
    """What was not acknowledged is not served."""
    store = open_store(root)
    (root / "store.json").mkdir()
    (root / "store.json" / "x").touch()
    with pytest.raises(OSError, match=r".+"):
        store.put("Scanner", "a", "put")
    assert store.value("Scanner", "a") == "disk"


def test_every_acknowledged_write_survives_a_kill(tmp_path: Path) -> None:
    """At ten instants the store is whole and has the last value, or the one after it."""
    (tmp_path / "Plugins").mkdir()
    for attempt in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(0.002 * attempt)
            writer.kill()
            acknowledged = int([first, *writer.stdout.read().split()][-1])
        stored = json.loads((tmp_path / "store.json").read_text())
        assert int(stored["plugins"]["P"]["n"]) in {acknowledged, acknowledged + 1}


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
    store = SettingsStore(tmp_path, tmp_path / "store")
    assert store.plugins() == ["A", "KeeperPrivilegeManager", "b"]


@pytest.mark.parametrize(("text", "line"), [("{\n,}", 2), ("[]", 1)])
def test_a_broken_plugin_file_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    """An array is not an object of settings."""
    path = tmp_path / "A.json"
    path.write_text(text)
    (problem,) = SettingsStore(tmp_path, tmp_path / "store").problems
    assert (problem.path, problem.line) == (path, line)


def test_a_hash_does_not_depend_on_the_order() -> None:
    """Two documents with the same settings are the same."""
    assert settings_hash({"a": "1", "b": "2"}) == settings_hash({"b": "2", "a": "1"})
    assert settings_hash({"a": "1"}) != settings_hash({"a": "2"})


@pytest.fixture
def store(tmp_path: Path) -> SettingsStore:
    """A store with one compiled-in setting."""
    compiled_in = {"KeeperPrivilegeManager": {"broker.port": "1"}}
    return SettingsStore(tmp_path / "Plugins", tmp_path / "store.json", compiled_in)


def test_a_write_makes_the_plugin(store: SettingsStore) -> None:
    """Typed values become text."""
    store["KeyScanner"]["max_bytes"] = 10
    assert store.merged("KeyScanner") == {"max_bytes": "10"}
    assert "KeyScanner" in store
    assert list(store) == ["KeeperPrivilegeManager", "KeyScanner"]


def test_a_whole_plugin_can_be_written(store: SettingsStore) -> None:
    """Other keys stay."""
    store["KeeperPrivilegeManager"] = {"a": "1", "b": True}
    assert dict(store["KeeperPrivilegeManager"]) == {
        "broker.port": "1",
        "a": "1",
        "b": "true",
    }


def test_a_read_merges_the_layers(store: SettingsStore) -> None:
    """It is a mapping like any other."""
    settings = store["KeeperPrivilegeManager"]
    assert settings["broker.port"] == "1"
    assert settings.get("nothing") is None
    assert len(settings) == 1


def test_a_plugin_that_does_not_exist_is_empty(store: SettingsStore) -> None:
    """Looking does not make it."""
    assert dict(store["Nobody"]) == {}
    assert "Nobody" not in store


def test_a_setting_cannot_be_deleted(store: SettingsStore) -> None:
    """The API has no way to do so; the error says what to do."""
    with pytest.raises(TypeError, match="revert the plugin"):
        del store["KeeperPrivilegeManager"]["broker.port"]
