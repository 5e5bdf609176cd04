"""Read what programs write: UTF-8, or on Windows the code page of the console."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import codecs

    def _of_the_system(line: bytes | bytearray) -> str:
        """Return a line as the system's own programs write it: in the code page of the console.

        Without a console, as in a service, they take the OEM code page.
        """
        import ctypes  # noqa: PLC0415  # rare

        kernel = ctypes.windll.kernel32
        code_page = kernel.GetConsoleOutputCP() or kernel.GetOEMCP()
        return codecs.code_page_decode(code_page, line, "replace", True)[0]

else:

    def _of_the_system(line: bytes | bytearray) -> str:
        """Return a line with a replacement character for what is not UTF-8."""
        return line.decode("utf-8", "replace")


def program_text(output: bytes | bytearray) -> str:
    """Return the lines that a program wrote; each is UTF-8 or in the system's code page."""
    try:
        return output.decode()
    except UnicodeDecodeError:
        return "\n".join(map(_line, output.split(b"\n")))


def _line(line: bytes | bytearray) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return _of_the_system(line)
