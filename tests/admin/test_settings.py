"""Tests of the admin settings: which place wins, and how a bad value is named."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import foreign_pair
from peers.garbling import as_toml, garbled
from peers.rights import OTHERS_WRITE, let_others
from peers.second_user import NOBODY, needs_second_user

from epm_task.admin.errors import AdminError, UnsafeConnection, WrongUse
from epm_task.admin.settings import DEFAULT_BASE_URL, read_admin_settings

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = {"base_url": None, "cert": None, "key": None, "cacert": None}


def write_table(folder: Path, text: str) -> Path:
    """Write a pyproject.toml with an admin table."""
    file = folder / "pyproject.toml"
    file.write_text(f"[tool.epm-task.admin]\n{text}\n")
    file.chmod(0o644)
    return file


def test_the_option_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    """Each setting is looked up for itself."""
    file = write_table(tmp_path, 'base_url = "https://127.0.0.1:1"\ncert = "c.pem"\nkey = "c.key"')
    key = tmp_path.parent / "e.key"
    environ = {"EPM_TASK_ADMIN_BASE_URL": "https://127.0.0.1:2", "EPM_TASK_ADMIN_KEY": str(key)}
    options = {**NOTHING, "base_url": "https://127.0.0.1:3"}
    found = read_admin_settings(options, environ, tmp_path)
    assert found.base_url == "https://127.0.0.1:3"
    assert found.credential.key == key
    assert found.credential.certificate == tmp_path / "c.pem"
    assert found.places == {
        "base_url": "--base-url",
        "cert": f"[tool.epm-task.admin] of {file}",
        "key": "EPM_TASK_ADMIN_KEY",
    }


def test_the_nearest_file_counts_and_its_paths_are_relative_to_it(tmp_path: Path) -> None:
    """The search goes upwards, and stops at the first file."""
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    write_table(tmp_path, 'cacert = "far.pem"')
    write_table(tmp_path / "a", 'cacert = "near.pem"')
    found = read_admin_settings(NOTHING, {}, below)
    assert found.credential.ca == tmp_path / "a" / "near.pem"


def test_without_anything_the_usual_port_is_taken(tmp_path: Path) -> None:
    """The place says that nobody chose it."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    found = read_admin_settings(NOTHING, {}, tmp_path)
    assert (found.base_url, found.credential.certificate) == (DEFAULT_BASE_URL, None)
    assert "usual" in found.places["base_url"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("password = 'x'", "holds 'password'; use one of base_url, cert, key, cacert"),
        ("base_url = 6889", "base_url in .* is not text"),
        ("base_url = ", "cannot be read"),
    ],
)
def test_a_bad_table_names_its_file(tmp_path: Path, table: str, words: str) -> None:
    """The sentence says what to write instead."""
    write_table(tmp_path, table)
    with pytest.raises(WrongUse, match=words) as error:
        read_admin_settings(NOTHING, {}, tmp_path)
    assert "pyproject.toml" in str(error.value)


def test_a_bad_url_names_where_it_came_from(tmp_path: Path) -> None:
    """Which variable it was is half of the answer."""
    environ = {"EPM_TASK_ADMIN_BASE_URL": "https://10.0.0.1"}
    with pytest.raises(UnsafeConnection, match="came from EPM_TASK_ADMIN_BASE_URL"):
        read_admin_settings(NOTHING, environ, tmp_path)


def test_a_bad_credential_names_where_it_came_from(tmp_path: Path) -> None:
    """The file is missing, and the option that named it is told."""
    write_table(tmp_path, 'cert = "missing.pem"')
    settings = read_admin_settings(NOTHING, {}, tmp_path)
    with pytest.raises(WrongUse, match=r"missing.pem.*cert from \[tool.epm-task.admin\]"):
        settings.client()


def test_a_table_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    """It decides whom an administrator's certificate is shown to."""
    let_others(write_table(tmp_path, 'cacert = "x.pem"'), "write")
    with pytest.raises(UnsafeConnection, match=f"was not used.*{OTHERS_WRITE}"):
        read_admin_settings(NOTHING, {}, tmp_path)


def test_a_good_credential_makes_a_client(tmp_path: Path) -> None:
    """No connection is opened by that."""
    certificate, key = foreign_pair(tmp_path)
    options = {**NOTHING, "cert": certificate, "key": key}
    with read_admin_settings(options, {}, tmp_path).client() as client:
        assert client.url == DEFAULT_BASE_URL


@needs_second_user
def test_a_table_below_a_folder_of_a_group_is_not_used(tmp_path: Path) -> None:
    """A member puts another file there."""
    (tmp_path / "deep").mkdir()
    write_table(tmp_path / "deep", 'cacert = "x.pem"')
    os.chown(tmp_path, 0, NOBODY)
    tmp_path.chmod(0o775)
    with pytest.raises(UnsafeConnection, match=r"was not used.*mode 0775.*chmod go-w"):
        read_admin_settings(NOTHING, {}, tmp_path / "deep")


def test_a_garbled_table_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Or it gives a client; a path in it may be what no file can have."""
    admin = {"base_url": "https://127.0.0.1:1", "cert": "c.pem", "key": "c.key"}
    refused = 0
    for more in ({}, {"cacert": "ca.pem"}):
        for _, variant in garbled({"tool": {"epm-task": {"admin": admin | more}}}):
            (tmp_path / "pyproject.toml").write_text(as_toml(variant))
            try:
                read_admin_settings(NOTHING, {}, tmp_path).client().close()
            except AdminError:
                refused += 1
    assert refused > 150
