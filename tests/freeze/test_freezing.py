"""Tests of freezing but for the build: source, modes, place, job documents, signatures."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from freeze.building import SEVERAL, task_file

from epm_task.freeze import FreezeError
from epm_task.freeze.freezing import (
    check_place,
    check_sign_command,
    native_files,
    sign,
    source_of,
    tidy,
    write_jobs,
)
from epm_task.freeze.program import Build, read_programs

if TYPE_CHECKING:
    from pathlib import Path


def _built(folder: Path, text: str = "x") -> Build:
    (folder / "_internal").mkdir(parents=True)
    for name in ("Hello", "manifest.json", "_internal/lib.so"):
        (folder / name).write_text(text)
    return Build(folder, "Hello", {})


@pytest.mark.posix("modes are")
def test_modes_and_times_do_not_depend_on_the_builder(tmp_path: Path) -> None:
    """Whatever the umask was: 0755 for folders and executable, 0644 for the rest, one time."""
    built = _built(tmp_path / "Hello")
    (built.folder / "_internal" / "lib.so").chmod(0o777)
    (built.folder / "_internal").chmod(0o700)
    (built.folder / "link").symlink_to("Hello")
    tidy(built, 1_700_000_000)
    found = {
        path.name: (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime)
        for path in (built.folder, *built.folder.rglob("*"))
        if not path.is_symlink()
    }
    assert {found["Hello"], found["_internal"]} == {(0o755, 1_700_000_000)}
    assert {found["lib.so"], found["manifest.json"]} == {(0o644, 1_700_000_000)}


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    """Only a manifest shows that a build of ours made it."""
    place = tmp_path / "Hello"
    check_place(place)
    place.mkdir()
    with pytest.raises(FreezeError, match=r"holds no manifest\.json"):
        check_place(place)


@pytest.mark.wine_differs("a link looks like what it leads to")
def test_a_link_to_a_folder_is_not_replaced(tmp_path: Path) -> None:
    """It could lead anywhere."""
    (tmp_path / "link").symlink_to(_built(tmp_path / "real").folder)
    with pytest.raises(FreezeError):
        check_place(tmp_path / "link")


def test_one_document_for_each_job(tmp_path: Path) -> None:
    """Named for its id, valid JSON, the command as it was built."""
    (program,) = read_programs(task_file(tmp_path / "src", SEVERAL), command="Nightly")
    written = write_jobs(program, tmp_path / "Jobs")
    assert [path.name for path in written] == ["nightly-scan.json", "nightly-report.json"]
    documents = [json.loads(path.read_text("utf-8")) for path in written]
    assert {document["tasks"][0]["command"] for document in documents} == {"Nightly"}
    if os.name == "posix":
        assert [path.stat().st_mode & 0o777 for path in written] == [0o644, 0o644]


def test_additions_of_the_project_are_kept(tmp_path: Path) -> None:
    """A condition that somebody wrote into the project's document is deployed too."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "Jobs").mkdir()
    (program,) = read_programs(task_file(tmp_path / "src", SEVERAL))
    own = tmp_path / "Jobs" / "nightly-scan.json"
    own.write_text(json.dumps({"id": "nightly-scan", "condition": {"a": 1}, "enabled": False}))
    scan, _ = write_jobs(program, tmp_path / "dist" / "Jobs")
    document = json.loads(scan.read_text("utf-8"))
    assert document["condition"] == {"a": 1}
    assert document["enabled"] is False
    assert document["tasks"][0]["command"] == "MyTask"


def test_a_broken_document_of_the_project_is_named(tmp_path: Path) -> None:
    """With line and column."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "Jobs").mkdir()
    (tmp_path / "Jobs" / "nightly-scan.json").write_text('{"id": }')
    (program,) = read_programs(task_file(tmp_path, SEVERAL))
    with pytest.raises(FreezeError, match=r"nightly-scan\.json:1:8"):
        write_jobs(program, tmp_path / "dist")


@pytest.fixture
def built(tmp_path: Path) -> Build:
    """A folder with two native libraries, data, a link and an executable."""
    folder = tmp_path / "A program"
    (folder / "_internal").mkdir(parents=True)
    (folder / "AProgram").write_bytes(b"\x7fELF executable")
    (folder / "_internal" / "a.so").write_bytes(b"\x7fELF a")
    (folder / "_internal" / "z.dll").write_bytes(b"MZ z")
    (folder / "_internal" / "data.txt").write_bytes(b"text")
    (folder / "_internal" / "link.so").symlink_to("a.so")
    return Build(folder, "AProgram", {})


def test_libraries_first_then_the_executable(built: Build, tmp_path: Path) -> None:
    """The tool gets each path as one word, blanks included, and may change the file."""
    tool = tmp_path / "tool.py"
    tool.write_text(
        "import sys\nfrom pathlib import Path\npath = Path(sys.argv[2])\n"
        "with open(sys.argv[1], 'a') as log: log.write(path.name + '\\n')\n"
        "path.write_bytes(path.read_bytes() + b' signed')\n"
    )
    log = tmp_path / "log"
    words = check_sign_command(f"{sys.executable} {tool} {log} {{path}}")
    told: list[tuple[int, int, str]] = []
    assert sign(built, words, lambda *what: told.append(what)) == 3
    assert told == [(done, 3, f"signing {built.folder.name}") for done in range(4)]
    assert log.read_text().split() == ["a.so", "z.dll", "AProgram"]
    assert (built.folder / "_internal" / "a.so").read_bytes().endswith(b" signed")
    assert len(native_files(built.folder)) == 3


def test_quotes_hold_words_together() -> None:
    """Double ones, on every system."""
    words = check_sign_command('"/my tools/sign" "/f=my key" "{path}"')
    assert words == ["/my tools/sign", "/f=my key", "{path}"]


def test_a_failing_tool_fails_the_build(built: Build) -> None:
    """At its first file, with its exit code."""
    words = check_sign_command(f'{sys.executable} -c "raise SystemExit(4)" {{path}}')
    with pytest.raises(FreezeError, match=r"exit code 4 for a\.so"):
        sign(built, words)
    with pytest.raises(FreezeError, match="cannot sign"):
        sign(built, ["/nowhere/signtool", "{path}"])


@pytest.mark.parametrize(
    ("command", "words"),
    [("codesign x", "which file to sign"), ("{path}", "which file"), ("a 'b", "split|which file")],
)
def test_a_command_that_cannot_work_is_refused(command: str, words: str) -> None:
    """Before anything is built."""
    with pytest.raises(FreezeError, match=words):
        check_sign_command(command)


def _git(folder: Path, *words: str) -> None:
    options = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *options, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_says_where_the_source_comes_from(tmp_path: Path) -> None:
    """Commit, moment and whether something was changed since."""
    file = tmp_path / "task.py"
    file.write_text("1\n")
    assert source_of(file, {}) == ("0.0.0", None, False, 315_532_800)
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", "task.py")
    _git(tmp_path, "commit", "-qm", "one")
    clean = source_of(file, {})
    assert clean.commit is not None
    assert len(clean.commit) == 40
    assert not clean.changed
    assert clean.epoch > 1_700_000_000
    file.write_text("2\n")
    assert source_of(file, {}).changed


def test_the_moment_can_be_given(tmp_path: Path) -> None:
    """As all reproducible builds do it; not before zip archives begin."""
    assert source_of(tmp_path / "x.py", {"SOURCE_DATE_EPOCH": "1700000000"}).epoch == 1_700_000_000
    assert source_of(tmp_path / "x.py", {"SOURCE_DATE_EPOCH": "1"}).epoch == 315_532_800
    with pytest.raises(FreezeError, match="not a number of seconds"):
        source_of(tmp_path / "x.py", {"SOURCE_DATE_EPOCH": "today"})


@pytest.mark.parametrize(
    ("project", "version"),
    [
        ('[project]\nversion = "1.2"\n', "1.2"),
        ("[project]\n", "0.0.0"),
        ("broken", "0.0.0"),
    ],
)
def test_the_version_is_the_projects(tmp_path: Path, project: str, version: str) -> None:
    """That of the nearest pyproject.toml above the file."""
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "src").mkdir()
    assert source_of(tmp_path / "src" / "task.py", {}).version == version
