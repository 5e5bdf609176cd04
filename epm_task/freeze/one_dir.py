"""Build a program with PyInstaller: a folder with the executable and all that it needs.

Not one file: such an executable unpacks itself and runs in a child of the process that the agent
started and trusts. Two builds of the same sources give the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from epm_task.freeze import FreezeError
from epm_task.freeze.program import Build
from epm_task.freeze.unused import registered, write_hooks

if TYPE_CHECKING:
    from collections.abc import Collection

    from epm_task.freeze.program import Program

#: What PyInstaller calls on Linux, all of Debian's `binutils` but ldd.
_LINUX_TOOLS: Final = ("ldd", "objdump", "objcopy")
#: Variables that would make a build depend on the machine.
_LEFT_OUT: Final = ("PYTHON", "LD_", "DYLD_", "OPENSSL_", "_PYI_")
#: Where this package is, so that the process that builds finds the one that runs now.
_PACKAGE_ROOT: Final = str(Path(__file__).parents[2])

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


def build_one_dir(program: Program, work: Path, *, epoch: int, version: str) -> Build:
    """Build *program* below *work*.

    Args:
        program: What to build.
        work: An empty folder, on the file system of the final place.
        epoch: The second that the build takes for now.
        version: Version of the program, for the resource of a Windows executable.

    Raises:
        FreezeError: PyInstaller is not installed, or cannot build the program.
    """
    check_tools()
    hooks = write_hooks(work / "hooks", pydantic=program.pydantic, asyncio=program.asyncio)
    resource = work / "version.txt"
    resource.write_text(version_resource(program.command, version), encoding="utf-8")
    contents = work / "contents.json"
    facts = {
        "script": str(program.file.resolve()),
        "paths": [_PACKAGE_ROOT],
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
    return Build(
        work / "dist" / program.command,
        f"{program.command}{suffix}",
        {str(name): str(path) for name, path in inside},
        missing_imports(notes, {program.file.name, *program.own_modules()}),
    )


def check_tools(platform: str = sys.platform, search_path: str | None = None) -> None:
    """Refuse to begin a build that cannot end well.

    Raises:
        FreezeError: PyInstaller or a tool that it calls is missing.
    """
    if find_spec("PyInstaller") is None:
        raise FreezeError("PyInstaller is not installed", fix='pip install "epm-task[dev]"')
    if platform != "linux":
        return
    if missing := [tool for tool in _LINUX_TOOLS if shutil.which(tool, path=search_path) is None]:
        raise FreezeError(
            f"PyInstaller needs {', '.join(missing)}, which is not installed",
            fix="apt-get install binutils (or your system's package of that name), "
            "or build with --backend zipapp",
        )


def can_strip(platform: str = sys.platform) -> bool:
    """Return whether symbols can be taken out of libraries; on macOS that breaks signatures."""
    return platform == "linux" and shutil.which("strip") is not None


def build_environment(epoch: int, work: Path) -> dict[str, str]:
    """Return the environment of the process that builds: nothing that differs from user to user."""
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(_LEFT_OUT)},
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": _PACKAGE_ROOT,
        "PYINSTALLER_CONFIG_DIR": str(work / "cache"),  # two builds at a time share nothing
        "SOURCE_DATE_EPOCH": str(epoch),
        "TZ": "UTC",
    }


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
            f"PyInstaller ended with exit code {done.returncode}",
            error.strip(),
            "if its cause is not plain, run pyinstaller itself on the file",
        )


#: `missing module named NAME - imported by PATH (delayed), MODULE (conditional, optional)`.
_LINE: Final = re.compile(r"missing module named '?([\w.]+)'? - imported by (.+)")
_IMPORTER: Final = re.compile(r"(.+?) \(([a-z, -]+)\)(?:, |$)")
#: In a `try`, or below a condition such as `TYPE_CHECKING`: the author knows.
_HARMLESS: Final = frozenset({"optional", "conditional"})


def missing_imports(notes: str, own: Collection[str]) -> tuple[str, ...]:
    """Return the missing modules that a program's own files need.

    A missing import at the top of a file stops the build; one in a function PyInstaller only notes,
    among the many that libraries try and do without.

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


#: The strings are in US English and Unicode: hexadecimal language and code page.
_VERSION_RESOURCE: Final = """\
VSVersionInfo(
  ffi=FixedFileInfo(filevers={numbers}, prodvers={numbers}),
  kids=[
    StringFileInfo([StringTable("040904B0", [
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
    return _VERSION_RESOURCE.format(
        numbers=tuple((*numbers, 0, 0, 0, 0)[:4]),
        command=command,
        file=f"{command}.exe",
        version=version,
    )
