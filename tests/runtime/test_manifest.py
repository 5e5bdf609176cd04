"""Tests of the manifest: what differs from it is named, whatever it is."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

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
    """A program of three files and a link, with its manifest."""
    place = tmp_path / "Prögram é"
    (place / "_internal").mkdir(parents=True)
    (place / "Program").write_bytes(b"binary")
    (place / "Program").chmod(0o755)
    (place / "_internal" / "lib.so").write_bytes(b"library")
    (place / "_internal" / "data ü").write_bytes(b"")
    (place / "link").symlink_to("_internal", target_is_directory=True)
    manifest = {"manifest": 1, "files": describe_files(place)}
    (place / NAME).write_text(json.dumps(manifest))
    return place


def test_an_unchanged_folder_has_no_differences(folder: Path) -> None:
    """Names that are not ASCII and links to folders are read as they are."""
    manifest = read_manifest(folder)
    assert sorted(manifest["files"]) == ["Program", "_internal/data ü", "_internal/lib.so", "link"]
    assert manifest["files"]["link"] == {"link": "_internal"}
    assert differences(folder, manifest) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "Program").write_bytes(b"binarY"), "Program was changed (sha256)"),
        (lambda f: (f / "Program").write_bytes(b"longer one"), "Program was changed (size)"),
        (lambda f: (f / "Program").unlink(), "Program is missing"),
        (lambda f: (f / "json.py").touch(), "json.py is not in the manifest"),
        (lambda f: (f / "Program").chmod(0o644), "Program was changed (executable bit)"),
        (lambda f: ((f / "link").unlink(), (f / "link").symlink_to("/tmp")), "link was changed"),
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


def test_a_file_without_a_digest_counts_as_changed(folder: Path) -> None:
    """A manifest that somebody has made thinner does not pass."""
    manifest = read_manifest(folder)
    manifest["files"]["Program"] = None
    assert differences(folder, manifest) == ["Program has no digest in the manifest"]


def test_a_source_has_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A zip program is known by the archive in its path."""
    assert program_folder() is None
    inside = tmp_path / "Hello" / "Hello.pyz" / "hello.pyc"
    monkeypatch.setattr(sys, "argv", [str(inside)])
    assert program_folder() == tmp_path / "Hello"
