"""Tests of files and folders on Windows, with rights that are really set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

if os.name != "nt":
    pytest.skip("descriptors are those of Windows", allow_module_level=True)

import _winapi

from peers import rights

from epm_task import windows_security
from epm_task.errors import UnsafeConfiguration
from epm_task.files import write_atomically
from epm_task.trust import (
    check_folder,
    entry,
    fault_of,
    is_ours,
    open_file,
    open_regular,
    open_to_write,
    read_file,
)

assert sys.platform == "win32"  # so type checkers know, too

set_rights = rights.set_rights
EVERYONE: Final = "S-1-1-0"
USERS: Final = "S-1-5-32-545"
NO_OTHERS: Final = pytest.mark.wine_differs("it knows entries of the user and of Everyone only")
NO_LINKS: Final = pytest.mark.wine_differs("it makes no links")
NO_ICACLS: Final = pytest.mark.wine_differs("its icacls does nothing")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private file."""
    made = tmp_path / "ca.pem"
    write_atomically(made, b"x")
    return made


def test_a_file_of_our_own_is_private(file: Path) -> None:
    """Whatever its folder would have given it."""
    assert read_file(file, 10, secret=True) == b"x"
    assert is_ours(file.stat(), file)


def test_a_file_that_others_can_read_is_not_a_secret(file: Path) -> None:
    """It is fine for a certificate."""
    set_rights(file, "(A;;FR;;;WD)")
    open_file(file).close()
    with pytest.raises(UnsafeConfiguration) as refused:
        open_file(file, secret=True)
    name = windows_security.account_name(EVERYONE)
    assert (
        refused.value.what
        == f"{file} belongs to {windows_security.account_name(windows_security.this_user())}"
    )
    assert refused.value.why == f"{name} can read it"
    assert refused.value.fix.startswith(f'icacls "{file}" /inheritance:r /grant:r "*S-1-5-18:F"')
    assert refused.value.fix.endswith(f'/remove:g "*{EVERYONE}"')
    assert refused.value.exit_code == 78


@pytest.mark.parametrize(
    "account", [pytest.param("WD"), *(pytest.param(each, marks=NO_OTHERS) for each in ("BU", "AU"))]
)
def test_a_file_that_others_can_write_is_refused(file: Path, account: str) -> None:
    """Whoever they are; who decides later sees the fault of an entry too."""
    set_rights(file, f"(A;;0x1301bf;;;{account})")
    with pytest.raises(UnsafeConfiguration, match="can write it; icacls"):
        open_file(file)
    assert fault_of(file.stat(), file)
    open_regular(file).close()


def test_a_folder_above_that_others_can_write_is_refused(file: Path, tmp_path: Path) -> None:
    """Whoever can write there can replace the file, and put another one there."""
    set_rights(tmp_path, "(A;OICI;FA;;;WD)")
    for act in (open_file, lambda path: check_folder(path.parent), open_to_write):
        with pytest.raises(UnsafeConfiguration, match="can write it") as refused:
            act(file)
        assert refused.value.what.startswith(f"{tmp_path} belongs to")


@NO_OTHERS
def test_a_folder_above_in_which_others_can_make_entries(file: Path, tmp_path: Path) -> None:
    r"""As in `C:\ProgramData`; they cannot replace what is there."""
    set_rights(tmp_path, "(A;CI;0x116;;;BU)")
    open_file(file).close()
    with pytest.raises(UnsafeConfiguration, match="can write it"):
        check_folder(tmp_path)


def test_what_is_made_is_for_its_owner(tmp_path: Path) -> None:
    """Also where a folder would give more to what is made in it."""
    set_rights(tmp_path, "(A;OICIIO;FA;;;WD)")
    check_folder(tmp_path / "keys" / "old", make=0o700)
    os.close(open_to_write(tmp_path / "lock"))
    write_atomically(tmp_path / "keys" / "key", b"x")
    for name in ("keys", "keys/old", "keys/key", "lock"):
        path = tmp_path / name
        assert fault_of(path.stat(), path, secret=True) is None, name


@NO_OTHERS
def test_a_folder_for_all_can_be_read_by_all(tmp_path: Path) -> None:
    """And what is made in it; nobody else can write there."""
    set_rights(tmp_path, "(A;OICIIO;FA;;;WD)")
    check_folder(tmp_path / "bin", make=0o755)
    (tmp_path / "bin" / "program").write_text("x")
    for path in (tmp_path / "bin", tmp_path / "bin" / "program"):
        assert fault_of(path.stat(), path) is None
        fault = fault_of(path.stat(), path, secret=True)
        assert fault
        assert fault.why == f"{windows_security.account_name(USERS)} can read it"


def test_a_folder_in_use_keeps_its_name(tmp_path: Path) -> None:
    """What is done in it is done in the one that was judged."""
    folder = tmp_path / "a"
    folder.mkdir()
    with entry(folder / "file") as (name, _):
        with pytest.raises(PermissionError):
            folder.rename(tmp_path / "b")
        Path(name).write_text("x")
    folder.rename(tmp_path / "b")


def test_what_is_written_is_no_link(tmp_path: Path, file: Path) -> None:
    """Another user may have linked a file of the system's there."""
    (tmp_path / "hard").hardlink_to(file)
    with pytest.raises(UnsafeConfiguration, match="it is a hard link"):
        open_to_write(tmp_path / "hard")


def test_what_is_written_is_not_open_to_others(file: Path) -> None:
    """They could write into it too."""
    os.close(open_to_write(file))
    set_rights(file, "(A;;FA;;;WD)")
    with pytest.raises(UnsafeConfiguration, match="can write it"):
        open_to_write(file)


@pytest.mark.parametrize("path", ["folder", "NUL"])
def test_only_regular_files_are_opened(tmp_path: Path, path: str) -> None:
    """A folder is none, nor is a device, in whatever folder."""
    (tmp_path / "folder").mkdir()
    with pytest.raises((UnsafeConfiguration, OSError), match=r"is not a file|not known"):
        open_file(tmp_path / path)


def test_a_file_in_the_place_of_a_folder(file: Path) -> None:
    """It is an error of the system, as for a folder that is missing."""
    with pytest.raises(NotADirectoryError):
        check_folder(file)
    with pytest.raises(NotADirectoryError):
        open_file(file / "x")
    with pytest.raises(FileNotFoundError) as missing:
        check_folder(file.with_name("absent"))
    assert missing.value.filename == str(file.with_name("absent"))


@NO_LINKS
def test_the_folder_of_a_link_counts_too(file: Path, tmp_path: Path) -> None:
    """Its file is safe, and the link, or the folder it leads to, is not."""
    folder = tmp_path / "open"
    folder.mkdir()
    (tmp_path / "safe").mkdir()
    (folder / "link").symlink_to(file)
    _winapi.CreateJunction(str(folder), str(tmp_path / "safe" / "way"))
    assert read_file(tmp_path / "safe" / "way" / "link", 10) == b"x"
    set_rights(folder, "(A;OICI;FA;;;WD)")
    with pytest.raises(UnsafeConfiguration, match="can write it") as refused:
        open_file(tmp_path / "safe" / "way" / "link")
    assert refused.value.what.startswith(f"{folder} belongs to")


@NO_LINKS
def test_what_is_written_follows_no_link(file: Path, tmp_path: Path) -> None:
    """The other file would be overwritten."""
    (tmp_path / "soft").symlink_to(file)
    with pytest.raises(UnsafeConfiguration, match="it is a link"):
        open_to_write(tmp_path / "soft")


@NO_LINKS
def test_links_in_a_circle_are_an_error_of_the_system(tmp_path: Path) -> None:
    """As when they are opened by name."""
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(OSError, match=r".+"):
        open_file(tmp_path / "link")


@NO_ICACLS
@pytest.mark.parametrize("kind", ["file", "secret", "folder"])
def test_the_command_of_an_error_mends_it(file: Path, tmp_path: Path, kind: str) -> None:
    """As it is written there."""
    path = tmp_path if kind == "folder" else file
    set_rights(path, f"(A;{'OICI' if kind == 'folder' else ''};FA;;;WD)", "(A;;FR;;;BU)")
    with pytest.raises(UnsafeConfiguration, match="icacls") as refused:
        open_file(file, secret=kind == "secret")
    subprocess.run(refused.value.fix, check=True, stdout=subprocess.DEVNULL)
    open_file(file, secret=kind == "secret").close()


def test_accounts_have_names() -> None:
    """One that nobody knows is told by its identifier."""
    unknown = "S-1-5-21-9-9-9-9999"
    assert windows_security.account_name(unknown) == unknown
    assert EVERYONE not in {windows_security.account_name(EVERYONE), ""}
    assert windows_security.this_user().startswith("S-1-5-")
