"""Tests of what `epm-task run` and `agent` make of their options, before anything starts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from cli.command import HELLO, epm_task, task_file
from typer.testing import CliRunner

from epm_task.cli.failure import WRONG_USE, Failure
from epm_task.cli.main import app
from epm_task.cli.run_inputs import read_faults, read_settings, split_target

if TYPE_CHECKING:
    from pathlib import Path


def refused(*words: object) -> Failure:
    """Return the failure with which the command refuses its options."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(result.exception, Failure), (result.exception, result.output)
    assert result.exception.exit_code == WRONG_USE
    assert result.stdout == ""
    return result.exception


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--setting", "max_bytes"], "write PLUGIN.key=value"),
        (["--setting", "KeyScanner=1"], "--setting KeyScanner names no plugin and key"),
        (["--setting", ".key=1"], "--setting .key names no plugin and key"),
        (["--setting", "P.=1"], "--setting P. names no plugin and key"),
        (["--settings", "absent.json"], "absent.json cannot be read"),
        (["--fault", "weather bad=1"], "'weather'"),
        (["--fault", "api status=403 bogus=1"], "bogus"),
        (["--fault", ""], "docs/simulator.md lists the words"),
        (["--faults", "absent.toml"], "absent.toml"),
    ],
)
def test_bad_option(words: list[str], sentence: str):
    """The failure names the option's value and what to write instead."""
    assert sentence in str(refused("run", HELLO, *words))
    assert sentence in str(refused("agent", "--root", "never-made", *words))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "line 1"),
        ("[1]", '{"Plugin": {"key": "value"}}'),
        ('{"P": 1}', '{"Plugin": {"key": "value"}}'),
        ("[" * 100_000, "cannot be read"),
        ("\xff", "cannot be read"),
    ],
)
def test_bad_settings_file(tmp_path: Path, text: str, sentence: str):
    """Bad JSON, and JSON of another shape, are refused; the file is named."""
    file = tmp_path / "settings.json"
    file.write_bytes(text.encode("latin-1"))
    failure = refused("run", HELLO, "--settings", file)
    assert str(file) in str(failure)
    assert sentence in str(failure)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a = = b", "line 1"),
        ("api = 5", "[[api]]"),
        ("[[weather]]\nbad = 1", "'weather'"),
        ("[[api]]\nbogus = 1", "bogus"),
    ],
)
def test_bad_faults_file(tmp_path: Path, text: str, sentence: str):
    """Bad TOML, and faults that nobody knows, are refused; the file is named."""
    failure = refused("run", HELLO, "--faults", task_file(tmp_path, text, "faults.toml"))
    assert "faults.toml" in str(failure)
    assert sentence in str(failure)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "import epm_task\n\ndef broken(\n",
            "cannot be imported: SyntaxError: '(' was never closed (my_task.py, line 3)",
        ),
        ("import epm_task\nimport no_such_module\n", "No module named 'no_such_module'"),
        ("import epm_task\n1 / 0\n", "ZeroDivisionError"),
        ("import sys, epm_task\nsys.exit(0)\n", "cannot be imported: SystemExit"),
        (
            'import epm_task\n@epm_task.task\ndef a():\n    """A."""\na.main()\n',
            'write `if __name__ == "__main__":` above that line',
        ),
    ],
)
def test_file_that_cannot_be_imported(tmp_path: Path, text: str, sentence: str):
    """The failure says which exception came, and where; nothing is started."""
    file = task_file(tmp_path, text)
    failure = str(refused("run", file))
    assert sentence in failure
    assert f"`python {file} --help` must work" in failure


def test_target_that_is_no_file(tmp_path: Path):
    """A missing file and a folder are told apart; a task that is not there is named."""
    assert "there is no file" in str(refused("run", tmp_path / "absent.py"))
    assert "is no file" in str(refused("run", tmp_path))
    assert "has no task 'x'" in str(refused("run", f"{HELLO}:x"))
    assert "has no task 'x': it holds no task" in str(
        refused("run", f"{task_file(tmp_path, 'pass')}:x")
    )


def test_import_may_print(tmp_path: Path):
    """What the file prints when it is looked at does not reach stdout."""
    file = task_file(tmp_path, "import epm_task\nprint('looked at')\n1 / 0\n")
    ended = epm_task("run", file)
    assert (ended.code, ended.out, ended.err[0]) == (2, "", "looked at")


def test_split_target(tmp_path: Path):
    """The last colon parts file and task, unless the whole is a file."""
    file = task_file(tmp_path, "")
    assert split_target(str(file)) == (file, None)
    assert split_target(f"{file}:key_scanner") == (file, "key-scanner")
    if sys.platform != "win32":
        odd = task_file(tmp_path, "", "a:b.py")
        assert split_target(str(odd)) == (odd, None)
        assert split_target(f"{odd}:c") == (odd, "c")


def test_read_settings(tmp_path: Path):
    """Assignments lie above the file; the first dot ends the plugin, the first `=` the key."""
    file = task_file(tmp_path, '{"P": {"a": 1, "b.c": null}}', "settings.json")
    assert read_settings(file, ["P.a=x=y", "Q.b.c="]) == {
        "P": {"a": "x=y", "b.c": None},
        "Q": {"b.c": ""},
    }
    assert read_settings(None, []) == {}


def test_read_faults(tmp_path: Path):
    """The faults of the file and of the command line hold both."""
    file = task_file(tmp_path, "[[run]]\ndisk_full = true\n", "faults.toml")
    faults = read_faults(file, ["run kill_after=1.5"])
    assert faults.disk_full()
    assert faults.kill_after() == 1.5
