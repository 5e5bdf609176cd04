"""Tests of finding an agent's folder and reading its ports."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from peers import second_user

from epm_task.contract.layout import PRESETS, AgentRoot, find_program, find_root

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.testing import Agent


def test_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative root is that of the folder in which the program was started."""
    monkeypatch.chdir(tmp_path)
    assert AgentRoot(type(tmp_path)("agent")).path == tmp_path / "agent"


def test_the_ports_are_those_that_the_agent_wrote(agent: Agent) -> None:
    """`appsettings.json` names them."""
    assert f":{AgentRoot(agent.root).read_ports()[0]}" in agent.base_url


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("{}", (None, None)),
        ('{"Settings": {"KestrelHttpsPort": "6889"}}', (6889, None)),
        ('{"Settings": {"KestrelHttpsPort": 70000, "KestrelHttpPort": 1}}', (None, 1)),
        ('{"Settings": []}', (None, None)),
    ],
)
def test_odd_settings_name_no_port(
    tmp_path: Path, text: str, ports: tuple[int | None, int | None]
) -> None:
    """Only a number from 1 to 65535 is a port."""
    (tmp_path / "appsettings.json").write_text(text)
    assert AgentRoot(tmp_path).read_ports() == ports


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_broken_file_is_told(tmp_path: Path, text: str) -> None:
    """The reason is for people."""
    (tmp_path / "appsettings.json").write_text(text)
    with pytest.raises(ValueError, match=r"Expecting|nested|object is needed"):
        AgentRoot(tmp_path).read_ports()


def test_the_log_is_where_the_plugin_says(tmp_path: Path) -> None:
    """Beside this package's place, and that of the field; what cannot be read says nothing."""
    root = AgentRoot(tmp_path)
    usual = [
        tmp_path / "Log" / "KeeperLogger.log",
        tmp_path / "Plugins" / "bin" / "KeeperLogger" / "Log" / "KeeperLogger.log",
    ]
    assert root.all_logs() == usual
    root.plugins.mkdir()
    plugin = root.plugins / "KeeperLogger.json"
    for value, more in [
        ("{AppRoot}/logs", [tmp_path / "logs" / "KeeperLogger.log"]),
        ("{approot}/logs/Own.log", [tmp_path / "logs" / "Own.log"]),
        ("{approot}/Log", []),
        ("{elsewhere}/logs", []),
        ("logs", []),
        (5, []),
    ]:
        for document in ({"log.file.path": value}, {"metadata": {"log.file.path": value}}):
            plugin.write_text(json.dumps(document))
            assert root.all_logs() == [*usual, *more]
    for text in ("{", '{"metadata": []}'):
        plugin.write_text(text)
        assert root.all_logs() == usual


def test_the_first_preset_that_exists_is_the_root(tmp_path: Path) -> None:
    """A given folder wins, also when it does not exist."""
    found = find_root(None, [str(tmp_path / "no"), str(tmp_path)])
    assert found is not None
    assert found.path == tmp_path
    assert find_root(None, []) is None
    given = find_root(tmp_path / "no", [str(tmp_path)])
    assert given is not None
    assert given.path == tmp_path / "no"
    assert set(PRESETS) == {"win32", "darwin", "linux"}


@second_user.needs_second_user
def test_a_preset_that_is_closed_to_this_user_may_be_the_root() -> None:
    """Then its checks say what cannot be read; a file is no root."""
    with second_user.shared_folder() as folder:
        (folder / "closed").mkdir(mode=0o700)
        (folder / "file").touch()
        presets = [str(folder / "file"), str(folder / "closed" / "agent"), str(folder)]
        with second_user.this_process():
            found = find_root(None, presets)
        assert found is not None
        assert found.path == folder / "closed" / "agent"


def _file(path: Path, text: str = "", *, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_order_of_places(tmp_path: Path) -> None:
    """`executablePath` comes before `Jobs/bin/{command}/`, and that before PATH."""
    on_path = _file(tmp_path / "path" / ("tool.exe" if os.name == "nt" else "tool"))
    assert find_program({"command": "tool"}, tmp_path, str(on_path.parent)) == on_path
    in_bin = _file(tmp_path / "tool" / "tool")
    assert find_program({"command": "tool"}, tmp_path, str(on_path.parent)) == in_bin
    own = _file(tmp_path / "own")
    task = {"command": "tool", "executablePath": str(own)}
    assert find_program(task, tmp_path, str(on_path.parent)) == own


def test_wrong_executable_path_is_not_papered_over(tmp_path: Path) -> None:
    """A given path that names no file is not replaced by another program."""
    _file(tmp_path / "tool" / "tool")
    task = {"command": "tool", "executablePath": str(tmp_path / "absent")}
    assert find_program(task, tmp_path, None) is None


@pytest.mark.parametrize("path", [True, 1, 1.5, [], ["a"], {"a": 1}, "nul\0", "x" * 5000, "\ud800"])
def test_what_is_no_path_names_no_program(tmp_path: Path, path: object) -> None:
    """A document may hold anything; a number is not a descriptor."""
    assert find_program({"executablePath": path}, tmp_path, "/nonexistent") is None
    assert find_program({"command": path}, tmp_path, "/nonexistent") is None


@pytest.mark.parametrize("command", ["", "../tool/tool", "absent-from-everywhere"])
def test_command_is_a_bare_name(tmp_path: Path, command: str) -> None:
    """A command with a path in it, or none, names no program."""
    _file(tmp_path / "tool" / "tool")
    assert find_program({"command": command}, tmp_path / "bin", "/nonexistent") is None


def test_current_folder_is_not_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though Windows itself looks there first."""
    _file(tmp_path / "tool")
    _file(tmp_path / "tool.exe")
    monkeypatch.chdir(tmp_path)
    assert find_program({"command": "tool"}, tmp_path / "bin", str(tmp_path / "none")) is None


def test_extensions(tmp_path: Path) -> None:
    """A script may carry its extension; Windows looks for `.exe` first."""
    script = _file(tmp_path / "tool" / "tool.sh")
    assert find_program({"command": "tool"}, tmp_path, None) == script
    exe = _file(tmp_path / "tool" / "tool.exe")
    assert find_program({"command": "tool"}, tmp_path, None, "win32") == exe
    assert find_program({"command": "tool"}, tmp_path, None, "linux") == script
