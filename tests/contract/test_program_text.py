"""Tests of reading what programs write."""

from __future__ import annotations

import subprocess
import sys

import pytest

from epm_task.contract.program_text import program_text


@pytest.mark.parametrize("text", ["", "plain\r\n", "grün 漢 😀\nzweite Zeile", "\ufeffa\0b"])
def test_utf_8_is_read_as_it_is(text: str) -> None:
    """Text in UTF-8 is itself, on every system."""
    assert program_text(text.encode()) == text


def test_line_in_another_encoding_spoils_no_other() -> None:
    """One program of a script may write UTF-8, the next one another encoding."""
    lines = program_text("grün\n".encode() + b"f\x81r\n" + "漢".encode()).split("\n")
    assert (lines[0], lines[2]) == ("grün", "漢")
    assert (len(lines[1]), lines[1][::2]) == (3, "fr")


if sys.platform == "win32":

    def test_programs_of_windows_are_read_in_their_code_page() -> None:
        """An agent without a console reads characters of the OEM code page, as its programs do."""
        code = (
            "from epm_task.contract.program_text import program_text as text\n"
            "written = ''.join(map(chr, range(0xA1, 0x100))).encode('oem', 'replace')\n"
            "assert text(written) == written.decode('oem'), ascii(text(written))\n"
        )
        command = [sys.executable, "-c", code]
        subprocess.run(command, creationflags=subprocess.DETACHED_PROCESS, check=True)
