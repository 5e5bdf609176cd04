"""Build a program: a folder with PyInstaller, or a `.pyz` for endpoints with their own Python.

Not one file: such an executable unpacks itself and runs in a child of the process that the agent
started and trusts. The launcher of a `.pyz` replaces itself by the interpreter (`exec`), so there
the process stays the same; Windows has no such call, so there that backend is refused. Two builds
of the same sources give the same bytes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.program_text import program_text
from epm_task.exit_code import ExitCode
from epm_task.freeze import FreezeError
from epm_task.freeze.program import Build
from epm_task.freeze.sbom import metadata_files
from epm_task.freeze.unused import UNUSED, belongs_to, registered, write_hooks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

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
from epm_task.freeze.sbom import metadata_files
facts = json.loads({facts!r})
analysis = Analysis(
    [facts["script"]],
    datas=[tuple(pair) for pair in facts["data"]],
    noarchive=True,  # modules in an archive make a start 15 % slower
    optimize=0,  # a docstring is what --help prints
    **facts["analysis"],
)
analysis.scripts = [entry for entry in analysis.scripts if entry[0] != facts["no_hook"]]
inside = [entry[0] for entry in (*analysis.datas, *analysis.binaries)]
analysis.datas += [(*pair, "DATA") for pair in metadata_files(inside).items()]
pure = PYZ(analysis.pure)
program = EXE(pure, analysis.scripts, exclude_binaries=True, console=True, **facts["program"])
COLLECT(program, analysis.binaries, analysis.datas, **facts["program"])
with open(facts["contents"], "w", encoding="utf-8") as file:
    json.dump([list(entry[:2]) for entry in (*analysis.datas, *analysis.binaries)], file)
"""

#: Runs a module of a package as `python -m` does, so that its relative imports work.
_SCRIPT: Final = """\
from importlib.util import find_spec

spec = find_spec({module!r})
__file__, __package__, __spec__ = spec.origin, {parent!r}, spec
exec(spec.loader.get_code({module!r}))
"""


def build_one_dir(program: Program, work: Path, *, epoch: int, version: str) -> Build:
    """Build *program* below *work* with PyInstaller.

    *work* is an empty folder on the file system of the final place. The build takes *epoch*, in
    seconds, for now, and puts *version* into a Windows executable.

    Raises:
        FreezeError: PyInstaller is not installed, or cannot build the program.
    """
    check_tools()
    hooks = write_hooks(work / "hooks", pydantic=program.pydantic, asyncio=program.asyncio)
    contents = work / "contents.json"
    script, package = program.file.resolve(), program.package
    if package is not None:
        script = work / "script" / script.name
        script.parent.mkdir()
        script.write_text(_SCRIPT.format(module=package.name, parent=package.parent), "utf-8")
    facts: dict[str, Any] = {
        "script": str(script),
        "data": [[str(path.resolve()), target] for path, target in program.data],
        "analysis": {
            "pathex": [*([str(package.root)] if package else []), _PACKAGE_ROOT],
            "hiddenimports": [*([package.name] if package else []), *program.include],
            "hookspath": [str(hooks), *registered()],
            "excludes": program.exclude,
        },
        "no_hook": _NO_RUNTIME_HOOK,
        "program": {"name": program.command, "strip": can_strip(), "upx": False},
        "contents": str(contents),
    }
    if sys.platform == "win32":
        resource = work / "version.txt"
        resource.write_text(version_resource(program.command, version), encoding="utf-8")
        facts["program"]["version"] = str(resource)
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
    if importlib.util.find_spec("PyInstaller") is None:
        raise FreezeError("PyInstaller is not installed", fix='pip install "epm-task[freeze]"')
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
        lines = program_text(done.stderr).strip().splitlines() or ["(no message)"]
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
    among the many that libraries try and do without. *notes* is what it wrote to `warn-*.txt`.
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


#: -I: no PYTHON* variable, no user's site-packages, no current folder. -B: no file is written.
_LAUNCHER: Final = """\
#!/bin/sh
# The agent trusts the process that it started, so this shell becomes the interpreter.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P) || exit 126
exec {python} -I -B "$here/{command}.pyz" "$@"
"""
#: Native libraries cannot be loaded out of an archive, so their packages lie beside it.
_MAIN: Final = """\
import os
import runpy
import sys

if sys.version_info[:2] != {version}:
    sys.stderr.write(
        "epm_task: exit {code} ({code_name}): {command} was built for Python {dotted}, and "
        + sys.executable + " is another; build it with an interpreter of the endpoint's version\\n"
    )
    sys.exit({code})
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "lib"))
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


def build_zip_program(program: Program, work: Path, *, python: str, epoch: int) -> Build:
    """Build *program* below *work*; `python` is the interpreter on the endpoint.

    Raises:
        FreezeError: This is Windows, or *python* is not an absolute path.
    """
    if sys.platform == "win32":
        raise FreezeError(
            "a zip program cannot be built on Windows",
            "its launcher would start the interpreter as a child, which the agent does not trust",
            "build with --backend pyinstaller",
        )
    if not python.startswith("/"):
        raise FreezeError(
            f"--python {python} is not an absolute path",
            "PATH is not to be trusted",
            "write --python /usr/bin/python3",
        )
    folder = work / "dist" / program.command
    folder.mkdir(parents=True)
    contents = {**(collected := dict(_collect(program))), **metadata_files(collected)}
    native = {name.partition("/")[0] for name in contents if name.endswith(_NATIVE)}
    moment = datetime.fromtimestamp(epoch, UTC).timetuple()[:6]
    with zipfile.ZipFile(folder / f"{program.command}.pyz", "w") as archive:

        def add(name: str, data: bytes) -> None:
            """Add a file whose time is that of the build."""
            entry = zipfile.ZipInfo(name, moment)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)

        add("__main__.py", _main(program))
        for package in _namespaces(contents):
            add(f"{package}/", b"")  # by such an entry zipimport knows it
        for name, file in contents.items():
            data = Path(file).read_bytes()
            if name.partition("/")[0] in native:
                (folder / "lib" / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / "lib" / name).write_bytes(data)
                continue
            add(name, data)
            if name.endswith(".py"):
                add(f"{name}c", _compiled(name, file, work))
    launcher = _LAUNCHER.format(python=shlex.quote(python), command=program.command)
    (folder / program.command).write_text(launcher, encoding="utf-8")
    return Build(folder, program.command, contents)


_NATIVE: Final = tuple(EXTENSION_SUFFIXES)


def _namespaces(names: Collection[str]) -> list[str]:
    """Return the packages without `__init__.py` among the folders of files."""
    folders = {above.as_posix() for name in names for above in PurePath(name).parents[:-1]}
    return sorted(one for one in folders if "." not in one and f"{one}/__init__.py" not in names)


#: What the runtime consists of.
_OURS: Final = (
    *("contract", "process_group", "runtime", "trust"),
    *("__init__.py", "below.py", "errors.py", "exit_code.py", "files.py", "shadows.py"),
    "windows_security.py",
)


def _collect(program: Program) -> Iterator[tuple[str, str]]:
    """Yield name in the archive and file of all that the task and the runtime import."""
    if program.package is None:
        yield f"{program.file.stem}.py", str(program.file.resolve())
    ours = Path(__file__).parents[1]
    for part in _OURS:
        yield from _files(ours / part, ours.parent)
    included = {top: _top(path, top) for top, path in program.included().items()}
    if package := program.package:
        top = package.name.partition(".")[0]
        included[top] = package.root / top
    for top, root in sorted({**_imported(program), **included}.items()):
        for name, file in _files(root, root.parent):
            module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
            if not belongs_to(module, (*UNUSED.get(top, ()), *program.exclude)):
                yield name, file
    for source, target in program.data:
        for name, file in _files(source, source.parent):
            yield f"{target.strip('/.')}/{name}".lstrip("/"), file


def _imported(program: Program) -> dict[str, Path]:
    """Return file or folder of each library, and of the task's own modules, by name."""
    standard = Path(importlib.util.__file__).parents[1]
    roots: dict[str, Path] = {}
    for module, file in program.modules.items():
        path, top = Path(file), module.partition(".")[0]
        ours = top == "epm_task" or program.file.stem == path.stem
        if not ours and ("site-packages" in path.parts or standard not in path.parents):
            roots.setdefault(top, _top(path, module))
    return roots


def _top(path: Path, module: str) -> Path:
    """Return the file or the folder of the top-level module to which *module* belongs."""
    depth = module.count(".") + (path.stem == "__init__")
    return path.parents[depth - 1] if depth else path


def _files(root: Path, above: Path) -> list[tuple[str, str]]:
    found = [root] if root.is_file() else sorted(root.rglob("*"))
    return [
        (path.relative_to(above).as_posix(), str(path))
        for path in found
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    ]


def _main(program: Program) -> bytes:
    version = sys.version_info[:2]
    code = {"code": int(ExitCode.CONFIG), "code_name": ExitCode.CONFIG.name}
    python = {"version": tuple(version), "dotted": ".".join(map(str, version))}
    package = program.package
    module = package.name if package else program.file.stem
    names = {"module": module, "command": program.command}
    return _MAIN.format(**names, **python, **code).encode()


def _compiled(name: str, file: str, work: Path) -> bytes:
    """Return the `.pyc` of a source: zipimport takes it without a look at the source's time."""
    target = work / "compiled.pyc"
    py_compile.compile(
        file,
        cfile=str(target),
        dfile=name,
        doraise=True,
        optimize=0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    return target.read_bytes()
