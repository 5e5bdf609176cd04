"""Tests of signing: the site's tool sees every native file once, and its failure is ours."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from epm_task.freeze.built import Built
from epm_task.freeze.freeze_error import FreezeError
from epm_task.freeze.signing import check_sign_command, native_files, sign

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """A folder with two native libraries, data, a link and an executable."""
    folder = tmp_path / "A program"
    (folder / "_internal").mkdir(parents=True)
    (folder / "AProgram").write_bytes(b"\x7fELF executable")
    (folder / "_internal" / "a.so").write_bytes(b"\x7fELF a")
    (folder / "_internal" / "z.dll").write_bytes(b"MZ z")
    (folder / "_internal" / "data.txt").write_bytes(b"text")
    (folder / "_internal" / "link.so").symlink_to("a.so")
    return Built(folder, "AProgram", {})


def test_libraries_first_then_the_executable(built: Built, tmp_path: Path):
    """The tool gets each path as one word, blanks included, and may change the file."""
    tool = tmp_path / "tool.py"
    tool.write_text(
        "import sys\nfrom pathlib import Path\npath = Path(sys.argv[2])\n"
        "with open(sys.argv[1], 'a') as log: log.write(path.name + '\\n')\n"
        "path.write_bytes(path.read_bytes() + b' signed')\n"
    )
    log = tmp_path / "log"
    words = check_sign_command(f"{sys.executable} {tool} {log} {{path}}")
    assert sign(built, words) == 3
    assert log.read_text().split() == ["a.so", "z.dll", "AProgram"]
    assert (built.folder / "_internal" / "a.so").read_bytes().endswith(b" signed")
    assert len(native_files(built.folder)) == 3


def test_a_failing_tool_fails_the_build(built: Built):
    """At its first file, with its exit code."""
    words = check_sign_command(f'{sys.executable} -c "raise SystemExit(4)" {{path}}')
    with pytest.raises(FreezeError, match=r"exit code 4 for a\.so"):
        sign(built, words)
    with pytest.raises(FreezeError, match="cannot sign"):
        sign(built, ["/nowhere/signtool", "{path}"])


@pytest.mark.parametrize(
    ("command", "words"),
    [("codesign x", "which file to sign"), ("{path}", "which file"), ("a 'b", "cannot be split")],
)
def test_a_command_that_cannot_work_is_refused(command: str, words: str):
    """Before anything is built."""
    with pytest.raises(FreezeError, match=words):
        check_sign_command(command)
