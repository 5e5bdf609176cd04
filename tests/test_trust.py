"""Tests of trust: what another user could replace is refused, and read through what was judged."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from peers.patience import PATIENCE
from peers.second_user import NOBODY, needs_second_user

from epm_task.below import open_below
from epm_task.errors import UnsafeConfiguration
from epm_task.files import write_atomically
from epm_task.trust import (
    check_folder,
    fault_of,
    open_file,
    open_regular,
    open_to_write,
    path_of,
    read_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable

posix = pytest.mark.posix("rights are those of POSIX")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private file."""
    made = tmp_path / "ca.pem"
    write_atomically(made, b"x")
    return made


def test_a_private_file_is_trusted(file: Path) -> None:
    """As a secret too."""
    assert read_file(file, 10) == b"x"
    assert read_file(file, 10, secret=True) == b"x"


@posix
@pytest.mark.parametrize("mode", [0o602, 0o622, 0o666])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    """The sentence names path, owner, mode, and the command that mends it."""
    file.chmod(mode)
    with pytest.raises(UnsafeConfiguration) as refused:
        open_file(file)
    owner = "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
    assert refused.value.what == f"{file} belongs to {owner} and has mode {mode:04o}"
    assert (refused.value.fix, refused.value.exit_code) == (f"chmod go-w {file}", 78)


@posix
def test_a_file_that_others_can_read_is_not_a_secret(file: Path) -> None:
    """It is fine for a certificate."""
    file.chmod(0o644)
    open_file(file).close()
    with pytest.raises(UnsafeConfiguration, match="read it; chmod 0600"):
        open_file(file, secret=True)


@posix
def test_a_folder_above_that_others_can_write_is_refused(file: Path, tmp_path: Path) -> None:
    """Whoever can write there can replace the file; the sticky bit keeps them from that."""
    tmp_path.chmod(0o757)
    with pytest.raises(UnsafeConfiguration, match="and has mode 0757: every user can write it"):
        open_file(file)
    tmp_path.chmod(0o1777)
    open_file(file).close()
    with pytest.raises(UnsafeConfiguration, match="mode 1777"):
        check_folder(tmp_path)


@needs_second_user
def test_a_group_with_members_may_not_write(file: Path, tmp_path: Path) -> None:
    """A member could replace the key; a group of nobody else is fine."""
    file.chmod(0o660)
    tmp_path.chmod(0o775)
    open_file(file, secret=True).close()
    os.chown(tmp_path, 0, NOBODY)
    with pytest.raises(UnsafeConfiguration, match=f"every member of group {NOBODY} can write it"):
        open_file(file)
    os.chown(tmp_path, 0, 54_321)
    with pytest.raises(UnsafeConfiguration, match="group 54321"):
        open_file(file)


@needs_second_user
@pytest.mark.parametrize("owned", ["file", "folder", "link"])
def test_what_another_user_owns_is_refused(file: Path, tmp_path: Path, owned: str) -> None:
    """In a sticky folder too, and when it is only the link that leads to the file."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    link = tmp_path / "open" / "link"
    link.symlink_to(file)
    open_file(link).close()
    os.chown(
        {"file": file, "folder": tmp_path, "link": link}[owned], NOBODY, -1, follow_symlinks=False
    )
    with pytest.raises(UnsafeConfiguration, match=rf"belongs to uid {NOBODY} .* chown root"):
        open_file(link)


@posix
def test_the_folder_of_a_link_counts_too(file: Path, tmp_path: Path) -> None:
    """Its file is safe, and the link is not."""
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "link").symlink_to(file)
    (tmp_path / "deep").mkdir()
    (tmp_path / "way").symlink_to("deep/../open/link")
    assert read_file(tmp_path / "way", 10) == b"x"
    folder.chmod(0o777)
    with pytest.raises(UnsafeConfiguration, match=f"^{folder} belongs to .* 0777"):
        open_file(tmp_path / "way")


@posix
def test_links_in_a_circle_are_an_error_of_the_system(tmp_path: Path) -> None:
    """As when they are opened by name."""
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(OSError, match="Too many levels"):
        open_file(tmp_path / "link")


@pytest.mark.parametrize("opened", [open_file, open_regular])
def test_a_name_that_no_file_can_have(tmp_path: Path, opened: Callable[[Path], object]) -> None:
    """It is an error of the operating system, as every caller expects."""
    for name in ("nul\0", "x" * 300, "x" * 33_000):
        with pytest.raises(OSError, match=r"^\[(Errno|WinError) "):
            opened(tmp_path / name)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _device(path: Path) -> None:
    path.symlink_to("/dev/null")


@posix
@pytest.mark.parametrize("make", [_pipe, _socket, _device, os.mkdir])
def test_only_regular_files_are_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A pipe would keep the reader waiting, and a device may do anything."""
    path = tmp_path / "x"
    make(path)
    for opened in (open_file, open_regular, open_to_write):
        with pytest.raises(UnsafeConfiguration, match="is not a file: it is a "):
            opened(path)
    with pytest.raises((UnsafeConfiguration, OSError), match=r"is not a file|levels"):
        open_below(tmp_path, "x")


@posix
def test_what_is_written_follows_no_link(tmp_path: Path) -> None:
    """Neither a symbolic link nor a hard one: the other file would be overwritten."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "soft").symlink_to(victim)
    (tmp_path / "hard").hardlink_to(victim)
    for name, why in (("soft", "a link"), ("hard", "a hard link")):
        with pytest.raises(UnsafeConfiguration, match=f"it is {why}"):
            open_to_write(tmp_path / name)
    assert victim.read_text() == "precious"


@needs_second_user
@pytest.mark.parametrize("others", ["own", "write"])
def test_what_is_written_is_not_another_users(file: Path, others: str) -> None:
    """He could write into it too, or has it open already."""
    os.close(open_to_write(file))
    if others == "own":
        os.chown(file, NOBODY, -1)
    else:
        file.chmod(0o606)
    with pytest.raises(UnsafeConfiguration, match=f"{file} belongs to"):
        open_to_write(file)


@posix
def test_the_name_of_an_opened_file_means_no_other(file: Path) -> None:
    """OpenSSL opens it once more."""
    with open_file(file) as opened:
        file.rename(file.with_name("old"))
        file.write_text("another")
        assert Path(path_of(opened, file)).read_text() == "x"


@posix
def test_a_way_below_a_folder_follows_no_link(tmp_path: Path) -> None:
    """Not in the middle either."""
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "up").symlink_to(tmp_path)
    (tmp_path / "secret").write_text("x")
    with pytest.raises(OSError, match=r".+"):
        open_below(tmp_path / "program", "up/secret")


@posix
def test_folders_that_are_missing_are_made_with_their_mode(tmp_path: Path) -> None:
    """Under the worst umask too."""
    umask = os.umask(0)
    try:
        check_folder(tmp_path / "a" / "b", make=0o755)
        os.close(open_to_write(tmp_path / "a" / "file"))
    finally:
        os.umask(umask)
    modes = [(tmp_path / "a" / n).stat().st_mode & 0o7777 for n in (".", "b", "file")]
    assert modes == [0o755, 0o755, 0o600]


@needs_second_user
def test_nothing_is_made_where_another_user_leads(tmp_path: Path) -> None:
    """His link would have folders made anywhere."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "link").symlink_to("victim")
    os.chown(tmp_path / "link", NOBODY, -1, follow_symlinks=False)
    with pytest.raises(UnsafeConfiguration, match="link belongs to uid"):
        check_folder(tmp_path / "link" / "made" / "here", make=0o700)
    assert list((tmp_path / "victim").iterdir()) == []


def _list_with(uid: int) -> bytes:
    """Return an access control list (acl(5)) by which one more user can read and write."""
    nobody = 0xFFFF_FFFF
    entries = [(1, 6, nobody), (2, 6, uid), (4, 4, nobody), (0x10, 6, nobody), (0x20, 4, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.mark.skipif(sys.platform != "linux", reason="these lists are Linux's")
def test_an_access_control_list_is_not_a_private_group(file: Path) -> None:
    """The mode shows its mask as rights of the group."""
    try:
        os.setxattr(file, "system.posix_acl_access", _list_with(NOBODY))
    except OSError as error:
        pytest.skip(f"this file system has no lists: {error.strerror}")
    with pytest.raises(UnsafeConfiguration, match=r"mode 0664: every member of group .* can write"):
        open_file(file)


@posix
def test_a_list_that_cannot_be_read_is_taken_for_one(file: Path) -> None:
    """Nobody knows then who is in it."""
    file.chmod(0o660)
    assert fault_of(file.stat(), file) is None
    found = file.stat()
    file.unlink()
    if sys.platform == "linux":
        assert fault_of(found, file) is not None


#: With files of groups and users, and a root folder, of its own.
_CONFINED = """
import grp, os, pwd, shlex, sys
from pathlib import Path
from epm_task.errors import UnsafeConfiguration
from epm_task.trust import read_file
pwd.getpwall(), grp.getgrall()
os.chroot(sys.argv[1])
try:
    print(read_file(Path("/file"), 10))
except UnsafeConfiguration as error:
    print(error)
"""


@needs_second_user
@pytest.mark.parametrize(
    ("root_mode", "members", "seen"),
    [
        (0o755, "", "b'x'"),
        (0o755, "root", "b'x'"),
        (0o755, "root,theirs", "every member of group 777 can write it"),
        (0o757, "", "/ belongs to root and has mode 0757"),
    ],
)
def test_the_root_folder_and_the_members_of_a_group(
    tmp_path: Path, root_mode: int, members: str, seen: str
) -> None:
    """The first folder of every way counts, and who is in a group that is not his first."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/:\ntheirs:x:888:888::/:\n")
    (tmp_path / "etc" / "group").write_text(f"devs:x:777:{members}\n")
    (tmp_path / "file").write_text("x")
    os.chown(tmp_path / "file", 0, 777)
    (tmp_path / "file").chmod(0o660)
    tmp_path.chmod(root_mode)
    command = [sys.executable, "-c", _CONFINED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert seen in done.stdout, done.stderr
