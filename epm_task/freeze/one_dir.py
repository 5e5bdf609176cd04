"""A one-dir build is a folder that PyInstaller makes: the executable, with all it needs beside it.

Not one file: such an executable unpacks itself and runs in a child of the process that the agent
started and trusts.

One at the top of a file stops a build. One in a function does not: PyInstaller notes it among the
many that libraries try and do without, and goes on.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from epm_task.freeze.build_environment import build_environment, can_strip, check_tools
from epm_task.freeze.freeze_error import FreezeError
from epm_task.freeze.program import Built
from epm_task.freeze.unused import registered, write_hooks

if TYPE_CHECKING:
    from collections.abc import Collection

    from epm_task.freeze.program import Program


#: The hook's changes to `inspect` find sources, which are not there; it reads a zip at each start.
_NO_RUNTIME_HOOK: Final = "pyi_rth_inspect"

_SPEC: Final = """\
import json
facts = json.loads({facts!r})
analysis = Analysis(
    [facts["script"]],
    pathex=facts["paths"],
    hiddenimports=facts["include"],
    hookspath=facts["hooks"],
    excludes=facts["exclude"],
    datas=[tuple(pair) for pair in facts["data"]],
    noarchive=True,  # modules in an archive make a start 15 % slower
    optimize=0,  # a docstring is what --help prints
)
analysis.scripts = [entry for entry in analysis.scripts if entry[0] != facts["no_hook"]]
program = EXE(
    PYZ(analysis.pure),
    analysis.scripts,
    exclude_binaries=True,
    name=facts["command"],
    console=True,
    strip=facts["strip"],
    upx=False,
    version=facts["version"],
)
COLLECT(
    program,
    analysis.binaries,
    analysis.datas,
    name=facts["command"],
    strip=facts["strip"],
    upx=False,
)
with open(facts["contents"], "w", encoding="utf-8") as file:
    json.dump([list(entry[:2]) for entry in (*analysis.datas, *analysis.binaries)], file)
"""


def build_one_dir(program: Program, work: Path, *, epoch: int, version: str) -> Built:
    """Build *program* below *work*.

    Args:
        program: What to build.
        work: An empty folder, on the file system of the final place.
        epoch: What the build takes for now.
        version: Version of the program, for the resource of a Windows executable.

    Raises:
        FreezeError: PyInstaller cannot build it; the text is its own last word.
    """
    check_tools()
    hooks = write_hooks(work / "hooks", pydantic=program.pydantic, asyncio=program.asyncio)
    resource = work / "version.txt"
    resource.write_text(version_resource(program.command, version), encoding="utf-8")
    contents = work / "contents.json"
    facts = {
        "script": str(program.file.resolve()),
        "paths": [str(Path(__file__).parents[2])],
        "include": list(program.include),
        "exclude": list(program.exclude),
        "data": [[str(path.resolve()), target] for path, target in program.data],
        "hooks": [str(hooks), *registered()],
        "no_hook": _NO_RUNTIME_HOOK,
        "command": program.command,
        "strip": can_strip(),
        "version": str(resource) if sys.platform == "win32" else None,
        "contents": str(contents),
    }
    spec = work / f"{program.command}.spec"
    spec.write_text(_SPEC.format(facts=json.dumps(facts)), encoding="utf-8")
    _run_pyinstaller(spec, work, epoch)
    inside = json.loads(contents.read_bytes())
    notes = "".join(path.read_text("utf-8") for path in (work / "build").rglob("warn-*.txt"))
    suffix = ".exe" if sys.platform == "win32" else ""
    return Built(
        work / "dist" / program.command,
        f"{program.command}{suffix}",
        {str(name): str(path) for name, path in inside},
        missing_imports(notes, {program.file.name, *program.own_modules()}),
    )


def _run_pyinstaller(spec: Path, work: Path, epoch: int) -> None:
    words = ["--noconfirm", "--log-level=WARN", f"--distpath={work / 'dist'}"]
    words += [f"--workpath={work / 'build'}", str(spec)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "PyInstaller", *words],
        env=build_environment(epoch, work),
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["(no message)"]
        error = next((line for line in reversed(lines) if "Error" in line), lines[-1])
        raise FreezeError(
            f"PyInstaller ended with exit code {done.returncode}: {error.strip()}",
            "if its cause is not plain, run pyinstaller itself on the file",
        )


#: `missing module named NAME - imported by PATH (delayed), MODULE (conditional, optional)`.
_LINE: Final = re.compile(r"missing module named '?([\w.]+)'? - imported by (.+)")
_IMPORTER: Final = re.compile(r"(.+?) \(([a-z, -]+)\)(?:, |$)")
#: In a `try`, or below a condition such as `TYPE_CHECKING`: the author knows.
_HARMLESS: Final = frozenset({"optional", "conditional"})


def missing_imports(notes: str, own: Collection[str]) -> tuple[str, ...]:
    """Return the missing modules that a program's own files need.

    Args:
        notes: What PyInstaller wrote to `warn-*.txt`.
        own: Names of the program's own modules, and of its main file.
    """
    found = []
    for line in notes.splitlines():
        match = _LINE.match(line)
        importers = _IMPORTER.findall(match[2]) if match else []
        if match and any(
            (name in own or PurePath(name).name in own) and not _HARMLESS & set(flags.split(", "))
            for name, flags in importers
        ):
            found.append(match[1])
    return tuple(found)


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
