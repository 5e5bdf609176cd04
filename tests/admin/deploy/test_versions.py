"""Tests of versions: whole, numbered, and not without bound."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from admin.deploy.bundle_files import executable, write_bundle
from peers.garbling import garbled

from epm_task.admin.deploy.bundle import Bundle, read_bundles
from epm_task.admin.deploy.versions import VersionStore
from epm_task.admin.errors import BadBundle, NoVersion

if TYPE_CHECKING:
    from pathlib import Path


def _bundle(folder: Path, number: int) -> Bundle:
    (bundle,) = read_bundles(write_bundle(folder, f"# {number}", priority=number))
    return bundle


def _store(folder: Path, count: int = 0) -> VersionStore:
    store = VersionStore(folder / "probe")
    for number in range(1, count + 1):
        store.save(_bundle(folder / "dist", number), number, "deployed")
    return store


def test_a_version_is_a_bundle_with_its_own_files(tmp_path: Path) -> None:
    """The digits of numbers stay, as the author wrote them."""
    folder = write_bundle(tmp_path / "dist")
    file = folder / "Jobs" / "probe.json"
    file.write_text(file.read_text().replace("{", '{"x": 1.10, ', 1))
    (bundle,) = read_bundles(folder)
    version = _store(tmp_path).save(bundle, 1, "deployed")
    assert version.bundle.jobs == bundle.jobs
    assert version.bundle.programs["probe"].folder.is_relative_to(tmp_path / "probe" / "1")
    (again,) = read_bundles(tmp_path / "probe" / "1")
    assert again.programs == version.bundle.programs
    assert "1.10" in (tmp_path / "probe" / "1" / "Jobs" / "probe.json").read_text()


def test_the_same_bundle_is_found_again(tmp_path: Path) -> None:
    """So that going back and forth does not fill the disk."""
    store = _store(tmp_path, 2)
    found = store.find(_bundle(tmp_path / "again", 1))
    assert found is not None
    assert found.number == 1
    assert store.find(_bundle(tmp_path / "again", 9)) is None
    assert store.names(2) == ({"probe"}, {"probe"})
    assert store.names(9) == (set(), set())


def test_a_damaged_version_is_none(tmp_path: Path) -> None:
    """What was kept is compared with its digest before it is used."""
    store = _store(tmp_path, 2)
    program = tmp_path / "probe" / "1" / "Jobs" / "bin" / "probe" / executable()
    program.write_text("changed")
    with pytest.raises(NoVersion, match="not what was kept"):
        store.get(1)
    assert store.find(_bundle(tmp_path / "again", 1)) is None
    (tmp_path / "probe" / "2" / "Jobs" / "probe.json").write_text("{")
    with pytest.raises(NoVersion, match="the versions are: 1, 2"):
        store.get(2)
    with pytest.raises(NoVersion):
        store.get(3)


def test_a_version_that_cannot_be_kept_leaves_nothing(tmp_path: Path) -> None:
    """A number is a whole version."""
    bundle = _bundle(tmp_path / "dist", 1)
    (tmp_path / "dist" / "Jobs" / "bin" / "probe" / executable()).unlink()
    with pytest.raises(BadBundle, match="vanished"):
        _store(tmp_path).save(bundle, 1, "deployed")
    assert list((tmp_path / "probe").iterdir()) == []


@pytest.mark.parametrize(
    ("keep", "left"),
    [(0, [5]), (1, [4, 5]), (2, [3, 4, 5]), (3, [2, 3, 4, 5]), (9, [1, 2, 3, 4, 5])],
)
def test_the_oldest_versions_go_first(keep: int, left: list[int], tmp_path: Path) -> None:
    """The current one is not counted."""
    store = _store(tmp_path, 5)
    store.point_to(5, 4)
    store.prune(keep)
    assert store.numbers() == left
    assert store.next_number() == 6


def test_the_version_before_is_kept_though_it_is_old(tmp_path: Path) -> None:
    """After a rollback to an old one, the way forward is not lost either."""
    store = _store(tmp_path, 5)
    store.point_to(2, 1)
    store.prune(2)
    assert store.numbers() == [1, 2, 5]
    assert (store.current, store.previous) == (2, 1)


def test_a_garbled_record_of_a_version_is_refused(tmp_path: Path) -> None:
    """Or it is read as the same version; it never ends in a traceback."""
    store = _store(tmp_path, 1)
    whole, file = store.get(1), tmp_path / "probe" / "1" / "version.json"
    refused = 0
    for what, variant in garbled(json.loads(file.read_text())):
        file.write_text(json.dumps(variant))
        with suppress(NoVersion):
            refused += 1
            read = store.get(1)
            refused -= 1
            assert (read.number, read.digest) == (1, whole.digest), what
    assert refused > 100


def test_a_garbled_pointer_is_refused(tmp_path: Path) -> None:
    """And not taken for a first deployment."""
    store = _store(tmp_path)
    (tmp_path / "probe").mkdir()
    store.point_to(2, 1)
    file = tmp_path / "probe" / "current.json"
    refused = 0
    for what, variant in garbled(json.loads(file.read_text())):
        file.write_text(json.dumps(variant))
        with suppress(NoVersion):
            refused += 1
            assert (type(store.current), type(store.previous)) in {(int, int), (int, type(None))}, (
                what
            )
            refused -= 1
    assert refused > 40
