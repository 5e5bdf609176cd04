"""Tests of the manifest: what differs from it is named, whatever it is."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from peers.garbling import garbled

from epm_task.runtime.manifest import (
    NAME,
    ManifestError,
    describe_files,
    differences,
    program_folder,
    read_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A program of three files and, on POSIX, a link, with its manifest."""
    place = tmp_path / "Prögram é"
    (place / "_internal").mkdir(parents=True)
    (place / "Program").write_bytes(b"binary")
    (place / "Program").chmod(0o755)
    (place / "_internal" / "lib.so").write_bytes(b"library")
    (place / "_internal" / "data ü").write_bytes(b"")
    if os.name == "posix":
        (place / "link").symlink_to("_internal", target_is_directory=True)
    manifest = {"manifest": 1, "files": describe_files(place)}
    (place / NAME).write_text(json.dumps(manifest))
    return place


def test_an_unchanged_folder_has_no_differences(folder: Path) -> None:
    """Names that are not ASCII and links to folders are read as they are."""
    manifest = read_manifest(folder)
    names = ["Program", "_internal/data ü", "_internal/lib.so"]
    if os.name == "posix":
        names.append("link")
        assert manifest["files"]["link"] == {"link": "_internal"}
    assert sorted(manifest["files"]) == names
    assert differences(folder, manifest) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "Program").write_bytes(b"binarY"), "Program was changed (sha256)"),
        (lambda f: (f / "Program").write_bytes(b"longer one"), "Program was changed (size)"),
        (lambda f: (f / "Program").unlink(), "Program is missing"),
        (lambda f: (f / "json.py").touch(), "json.py is not in the manifest"),
        pytest.param(
            *(lambda f: (f / "Program").chmod(0o644), "Program was changed (executable bit)"),
            marks=pytest.mark.posix("modes are POSIX"),
        ),
        pytest.param(
            lambda f: ((f / "link").unlink(), (f / "link").symlink_to("/tmp")),
            "link was changed",
            marks=pytest.mark.posix("on Windows only administrators can make a link"),
        ),
    ],
)
def test_a_change_is_named(folder: Path, change: Callable[[Path], object], words: str) -> None:
    """Content, size, presence, executable bit and target of a link count."""
    manifest = read_manifest(folder)
    change(folder)
    (problem,) = differences(folder, manifest)
    assert problem.startswith(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"files": []}', "is not a manifest"),
        ('{"manifest": 2, "files": {}}', "another version"),
        (" " * (8 * 1024 * 1024), "cannot be read"),
        (" " * (8 * 1024 * 1024 + 1), "larger than 8 MiB"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_bad_manifest_is_refused(folder: Path, text: str | None, words: str) -> None:
    """Whatever stands there, the error says it in one sentence."""
    path = folder / NAME
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ManifestError, match=words):
        read_manifest(folder)


def test_a_file_without_a_digest_is_refused(folder: Path) -> None:
    """A manifest that somebody has made thinner does not pass."""
    manifest = json.loads((folder / NAME).read_text())
    manifest["files"]["Program"] = None
    (folder / NAME).write_text(json.dumps(manifest))
    with pytest.raises(ManifestError, match="is not a manifest: the field 'files' must be"):
        read_manifest(folder)


def _compared(files: Any) -> Any:
    """Return what counts of the files here: Windows has no executable bit."""
    if os.name == "posix":
        return files
    return {name: {**described, "executable": None} for name, described in files.items()}


def test_a_garbled_manifest_is_refused(folder: Path) -> None:
    """Or it tells of differences; it never ends in a traceback."""
    required = {"--root": "path"}
    task = {"name": "a", "job_id": None, "publishes": ["T"], "plugin": "P", "required": required}
    manifest = {
        "manifest": 1,
        "command": "Program",
        "executable": "Program",
        "tasks": [task],
        "files": describe_files(folder),
    }
    refused = 0
    for what, variant in garbled(manifest):
        (folder / NAME).write_text(json.dumps(variant))
        with suppress(ManifestError):
            refused += 1
            read = read_manifest(folder)
            refused -= 1
            same = _compared(variant["files"]) == _compared(manifest["files"])
            assert (differences(folder, read) == []) is same, what
    assert refused > 400


@pytest.mark.posix("pipes and links are those of POSIX")
def test_what_leads_out_of_the_program_is_a_difference(folder: Path, tmp_path: Path) -> None:
    """By a link that the manifest lists, or in place of a file; a pipe is not waited for."""
    (folder / "up").symlink_to("_internal/../..")
    manifest = {"manifest": 1, "files": describe_files(folder)}
    (folder / "Program").unlink()
    os.mkfifo(folder / "Program")
    found = differences(folder, manifest)
    assert found == ["Program cannot be read: it is a pipe", "up is a link that leaves the program"]
    (folder / NAME).unlink()
    os.mkfifo(folder / NAME)
    with pytest.raises(ManifestError, match="it is a pipe"):
        read_manifest(folder)


def test_a_source_has_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A zip program is known by the archive in its path."""
    assert program_folder() is None
    inside = tmp_path / "Hello" / "Hello.pyz" / "hello.pyc"
    monkeypatch.setattr(sys, "argv", [str(inside)])
    assert program_folder() == tmp_path / "Hello"
