"""A version resource is what Windows shows of an executable in its properties (untested)."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

#: Hexadecimal language and code page: US English, Unicode; what the strings below are in.
_LANGUAGE: Final = "040904B0"

_TEXT: Final = """\
VSVersionInfo(
  ffi=FixedFileInfo(filevers={numbers}, prodvers={numbers}),
  kids=[
    StringFileInfo([StringTable({language!r}, [
      StringStruct("FileDescription", {command!r}),
      StringStruct("InternalName", {command!r}),
      StringStruct("OriginalFilename", {file!r}),
      StringStruct("ProductName", {command!r}),
      StringStruct("FileVersion", {version!r}),
      StringStruct("ProductVersion", {version!r}),
    ])]),
    VarFileInfo([VarStruct("Translation", [1033, 1200])]),
  ],
)
"""


def version_resource(command: str, version: str) -> str:
    """Return the file that PyInstaller reads the resource from."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:4]]
    return _TEXT.format(
        numbers=tuple((*numbers, 0, 0, 0, 0)[:4]),
        language=_LANGUAGE,
        command=command,
        file=f"{command}.exe",
        version=version,
    )


def project_version(file: Path) -> str:
    """Return the version in the nearest `pyproject.toml` above *file*, or 0.0.0."""
    for folder in file.resolve().parents:
        project = folder / "pyproject.toml"
        if project.is_file():
            try:
                facts = tomllib.loads(project.read_text("utf-8"))
            except (OSError, ValueError):
                return "0.0.0"
            return str(facts.get("project", {}).get("version", "0.0.0"))
    return "0.0.0"
