"""Tests of installed programs: what is known of an executable, and whether it is as built."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import job_document
from freeze.building import program
from peers.garbling import garbled
from peers.rights import OTHERS_WRITE, let_others
from peers.second_user import needs_second_user

from epm_task.freeze import FreezeError
from epm_task.freeze.installed import Check, check_install, judge, passed, read_installed
from epm_task.runtime.manifest import describe_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TASKS = [
    {"name": "scan", "job_id": "a", "publishes": ["Jobs/a/x"]},
    {"name": "report", "job_id": "b", "publishes": []},
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A program with a manifest of two tasks."""
    folder = program(tmp_path, "")
    manifest = {"manifest": 1, "executable": "Probe", "tasks": TASKS, "files": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_folder_and_executable_name_the_same_program(place: Path) -> None:
    """Without a job document, the topics are those that the code declares."""
    found = read_installed(place)
    assert found == read_installed(place / "Probe")
    assert (found.folder, found.command) == (place, "Probe")
    assert found.topics(found.task([])) == ["KeeperLogger", "Jobs/a/x"]


def test_the_job_document_beside_it_counts(place: Path) -> None:
    """Its topics are what the agent will allow; other files there do not matter."""
    jobs = place.parents[1]
    (jobs / "a.json").write_text("{")
    (jobs / "b.json").write_text('{"id": "b", "tasks": [{"command": "Other"}]}')
    (jobs / "c.json").write_text("[]")
    document: dict[str, Any] = {"id": "d", "tasks": [{"command": "Probe"}]}
    document["mqttTopics"] = {"allowedPublications": ["Only"]}
    (jobs / "d.json").write_text(json.dumps(document))
    found = read_installed(place)
    assert found.job == document
    assert found.topics({}) == ["Only"]


def test_a_task_is_chosen_by_argument(place: Path) -> None:
    """The first one stands in when none is chosen."""
    found = read_installed(place)
    assert found.task([])["name"] == "scan"
    assert found.task(["--task=report"])["name"] == "report"
    assert found.task(["--task", "report"])["name"] == "report"
    with pytest.raises(FreezeError, match="it has scan, report"):
        found.task(["--task=other"])


def test_any_other_executable_stands_alone(tmp_path: Path) -> None:
    """Nothing is known of it, and the folder around it is not taken along."""
    tool = tmp_path / "tool"
    tool.touch()
    found = read_installed(tool)
    assert (found.folder, found.manifest, found.job, found.task([])) == (None, None, None, {})


@pytest.mark.parametrize("name", ["none", "empty"])
def test_what_is_no_program_is_refused(tmp_path: Path, name: str) -> None:
    """A path that is not there, and a folder without an executable of its name."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(FreezeError):
        read_installed(tmp_path / name)


def test_a_broken_manifest_is_refused(place: Path) -> None:
    """It would hide what the program is."""
    (place / "manifest.json").write_text("{")
    with pytest.raises(FreezeError, match="build the program again"):
        read_installed(place)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A program with its manifest."""
    folder = program(tmp_path, "")
    for name in ("a.so", "b.so", "c.so", "d.so"):
        (folder / name).touch(mode=0o644)
    (folder / "manifest.json").write_text(
        json.dumps({"manifest": 1, "executable": "Probe", "files": describe_files(folder)})
    )
    return folder


def test_an_installed_program_passes(installed: Path) -> None:
    """As it was built, the user's own or root's, and nobody else may write."""
    checks = check_install(read_installed(installed))
    assert passed(checks)
    assert [check.name for check in checks] == [
        *("files", "owner", "modes", "folders above", "executable")
    ]


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (lambda f: (f / "a.so").write_text("x"), "files", "a.so was changed"),
        (lambda f: (f / "json.py").touch(), "files", "json.py is not in the manifest"),
        (lambda f: let_others(f / "a.so", "write"), "modes", OTHERS_WRITE),
        (lambda f: let_others(f, "write"), "modes", OTHERS_WRITE),
        (lambda f: let_others(f.parent, "write"), "folders above", OTHERS_WRITE),
        pytest.param(
            lambda f: (f / "Probe").chmod(0o644),
            "files",
            r"Probe was changed \(executable bit\)",
            marks=pytest.mark.posix("modes are"),
        ),
    ],
)
def test_what_is_wrong_is_named(
    installed: Path, change: Callable[[Path], object], name: str, words: str
) -> None:
    """With the command that puts it right."""
    change(installed)
    checks = {check.name: check for check in check_install(read_installed(installed))}
    assert checks[name].state == "failed"
    assert re.search(words, checks[name].detail)


@needs_second_user
def test_a_file_of_another_user_is_named(installed: Path) -> None:
    """He could replace it."""
    os.chown(installed / "a.so", 65534, 65534)
    checks = {check.name: check for check in check_install(read_installed(installed))}
    assert "belongs to uid 65534" in checks["owner"].detail


@pytest.mark.posix("links are those of POSIX")
def test_an_executable_that_is_a_link_is_named(installed: Path) -> None:
    """What is run would be another file than the one that was compared."""
    (installed / "real").write_bytes((installed / "Probe").read_bytes())
    (installed / "real").chmod(0o755)
    (installed / "Probe").unlink()
    (installed / "Probe").symlink_to("real")
    (installed / "manifest.json").write_text(
        json.dumps({"manifest": 1, "executable": "Probe", "files": describe_files(installed)})
    )
    checks = {check.name: check for check in check_install(read_installed(installed))}
    assert checks["executable"].state == "failed"
    assert "a file, not a link" in checks["executable"].detail


def test_many_problems_are_counted(installed: Path) -> None:
    """The first three are shown."""
    for path in installed.glob("*.so"):
        path.unlink()
    checks = check_install(read_installed(installed))
    assert checks[0].detail.endswith("; and 1 more")


def test_without_a_manifest_there_is_nothing_to_compare(tmp_path: Path) -> None:
    """The sentence says where one comes from."""
    with pytest.raises(FreezeError, match="epm-task freeze"):
        check_install(read_installed(program(tmp_path, "")))


def test_a_judgement_says_what_was_seen_or_what_is_wrong() -> None:
    """One sentence for each."""
    assert judge("modes", [1], "all right", "wrong") == Check("modes", "ok", "all right")
    assert judge("modes", [], "all right", "wrong") == Check("modes", "failed", "wrong")


def test_only_a_failure_counts() -> None:
    """A check that could not be made says nothing against the program."""
    good = [Check("a", "ok", ""), Check("b", "skipped", "")]
    assert passed(good)
    assert not passed([*good, Check("c", "failed", "")])


def test_a_garbled_document_or_manifest_beside_it(place: Path) -> None:
    """Each is read or refused; the topics are texts, whatever the document holds."""
    (place / "Probe").chmod(0o755)
    task = {"id": "one", "command": "Probe", "arguments": "--task=scan"}
    document = job_document("a", tasks=[task])
    manifest = json.loads((place / "manifest.json").read_text())
    cases = [(document, place.parents[1] / "a.json"), (manifest, place / "manifest.json")]
    refused = 0
    for whole, file in cases:
        for what, variant in garbled(whole):
            file.write_text(json.dumps(variant))
            try:
                found = read_installed(place)
                topics = found.topics(found.task(["--task=scan"]))
                check_install(found)
            except FreezeError:
                refused += 1
            else:
                assert all(isinstance(topic, str) for topic in topics), what
        file.write_text(json.dumps(whole))
    assert refused > 100
