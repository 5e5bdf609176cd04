"""Build a program as a `.pyz` with a launcher, for endpoints that carry their own Python.

The launcher replaces itself by the interpreter (`exec`), so the process that the agent started is
the one that runs the task. Windows has no such call, so there this backend is refused.
"""

from __future__ import annotations

import importlib.util
import py_compile
import shlex
import sys
import zipfile
from datetime import UTC, datetime
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Final

from epm_task.exit_code import ExitCode
from epm_task.freeze import FreezeError
from epm_task.freeze.program import Build
from epm_task.freeze.unused import UNUSED, belongs_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.freeze.program import Program

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
    contents = dict(_collect(program))
    suffixes = tuple(EXTENSION_SUFFIXES)
    native = {name.partition("/")[0] for name in contents if name.endswith(suffixes)}
    moment = datetime.fromtimestamp(epoch, UTC).timetuple()[:6]
    with zipfile.ZipFile(folder / f"{program.command}.pyz", "w") as archive:

        def add(name: str, data: bytes) -> None:
            entry = zipfile.ZipInfo(name, moment)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)

        add("__main__.py", _main(program))
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


def _collect(program: Program) -> Iterator[tuple[str, str]]:
    """Yield name in the archive and file of all that the task and the runtime import."""
    yield f"{program.file.stem}.py", str(program.file.resolve())
    ours = Path(__file__).parents[1]
    for part in ("__init__.py", "contract", "errors.py", "exit_code.py", "files.py", "runtime"):
        yield from _files(ours / part, ours.parent)
    included = {top: _top(path, top) for top, path in program.included().items()}
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
    names = {"module": program.file.stem, "command": program.command}
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
