"""Tests of what is published: the sdist, the wheel, and what they say about themselves."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
from email.parser import BytesParser
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
import yaml
from peers.patience import PATIENCE

import epm_task

if TYPE_CHECKING:
    from email.message import Message

pytest.importorskip("hatchling", reason="hatchling, of the extra publish, is not installed")

ROOT = Path(__file__).parents[1]


def _python(*words: object, cwd: Path = ROOT) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and with the wheel that is made of it."""
    folder = tmp_path_factory.mktemp("published")
    _python("hatchling", "build", "-t", "sdist", "-d", folder)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    _python("hatchling", "build", "-t", "wheel", "-d", folder, cwd=folder / sdist.name[:-7])
    return folder


@pytest.fixture(scope="module")
def wheel(published: Path) -> ZipFile:
    """The wheel."""
    (file,) = published.glob("*.whl")
    return ZipFile(file)


@pytest.fixture(scope="module")
def metadata(wheel: ZipFile) -> Message:
    """What the wheel says about itself."""
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    return BytesParser().parsebytes(wheel.read(name))


def test_twine_accepts_both(published: Path) -> None:
    """As the package index does, the README included."""
    _python("twine", "check", "--strict", *published.glob("*.whl"), *published.glob("*.tar.gz"))


def test_the_metadata_is_complete(metadata: Message) -> None:
    """Each field that the package index shows is there."""
    fields = [
        *("Name", "Version", "Summary", "Author", "License-Expression", "License-File"),
        *("Keywords", "Requires-Python", "Description-Content-Type"),
    ]
    assert [field for field in fields if not metadata[field]] == []
    assert (metadata["Name"], metadata["Version"]) == ("epm-task", epm_task.__version__)


def test_the_addresses_are_below_one(metadata: Message) -> None:
    """The constant that findings, SBOMs and schemas use is the home page of the project."""
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL", []))
    assert urls.keys() == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
    assert urls["Homepage"] == epm_task.__homepage__
    assert [url for url in urls.values() if not url.startswith(epm_task.__homepage__)] == []
    foreign = re.compile(rf"{epm_task.__homepage__}/(?:blob|tree)/main/([\w./-]+)")
    paths = [found[1] for url in urls.values() if (found := foreign.fullmatch(url))]
    assert paths == ["docs", "CHANGELOG.md"]
    assert all((ROOT / path).exists() for path in paths)


def test_the_classifiers_name_the_pythons_of_ci(metadata: Message) -> None:
    """Each version that is promised is tested, and the lowest is that of `requires-python`."""
    from trove_classifiers import classifiers  # comes with hatchling

    said = metadata.get_all("Classifier", [])
    assert set(said) - classifiers == set()
    versions = [name.rpartition(" ")[2] for name in said if re.search(r":: 3\.\d+$", name)]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert versions == workflow["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert metadata["Requires-Python"] == f">={versions[0]}"
    assert versions == ["3.11", "3.12", "3.13", "3.14"]


def test_the_wheel_holds_the_package_and_the_template(wheel: ZipFile) -> None:
    """Each file of both, the types marker among them, and nothing of the tests."""
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "epm_task", "templates"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    if not tracked:
        pytest.skip("this is no clone: the files of the project are not known")
    names = {name for name in tracked.split("\0") if name}
    assert "epm_task/py.typed" in held
    assert held == {re.sub(r"^templates/", "epm_task/templates/", name) for name in names}


def test_the_smallest_extra_holds_no_tool_of_contributors(metadata: Message) -> None:
    """A task needs four packages, and each extra is one that the documents name."""
    needed = metadata.get_all("Requires-Dist", [])
    bare = {re.split(r"[<>=!~ \[;]", line)[0] for line in needed if "extra ==" not in line}
    assert bare == {"httpx", "paho-mqtt", "structlog", "pydantic-settings"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(metadata.get_all("Provides-Extra", [])) == extras.keys()
    assert set(extras) == {"tools", "freeze", "publish", "dev"}
