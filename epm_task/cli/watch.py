"""Tell when a task file, or what it imports from its project, has changed: for `run --watch`.

The files are found in the imports that are written in the code, also those of a function that has
not been called, and of a file that cannot be compiled yet: no file has to be run for it. Those that
were found while the task was imported, by name at run time, are added. The project is the folder of
pyproject.toml, else that of the file.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
import time
from contextlib import suppress
from importlib import invalidate_caches
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from epm_task.job.project import find_project
from epm_task.job.task_file import package_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What tells one content of a file from another: time, size, and which file has that name.
_Version: TypeAlias = tuple[int, int, int] | None

#: How often a condition is asked; how long nothing must change until a burst of changes is over,
#: and after which time it is over anyway. Changes of other files in a folder hold us up no longer
#: than a quarter of a second.
_STEP_SECONDS: Final = 0.05
_QUIET_SECONDS: Final = 0.1
_BURST_SECONDS: Final = 2.0
_OTHERS_SECONDS: Final = 0.25
#: How often the files are looked at anyway: network drives tell of no change, and a folder that was
#: made anew is another one to the system.
_LOOK_SECONDS: Final = 1.0

_OURS: Final = __name__.partition(".")[0]
#: Folders of installed packages: they are not the project's, wherever they are.
_INSTALLED: Final = {"site-packages", "dist-packages"}


class SourceFiles:
    """The files that a run of *path* is made from, each as it was when the run began."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._seen: dict[Path, _Version] = {}
        self._changed: list[Path] = []
        self._foreign = set(sys.modules)

    def begin(self) -> None:
        """Take the files as they are now; modules of the project are imported anew from now on."""
        self._seen = {self._path: _version(self._path)}
        self._changed = []
        project = self._project()
        for name, module in list(sys.modules.items()):
            if name not in self._foreign and _file_of(module, project):
                del sys.modules[name]
        invalidate_caches()
        if self._path.suffix == ".py":
            self._follow(project)

    def add_imported(self) -> None:
        """Add the modules of the project that the task has imported."""
        project = self._project()
        for name, module in list(sys.modules.items()):
            if name not in self._foreign and (file := _file_of(module, project)):
                self._seen.setdefault(file, _version(file))

    def changed(self) -> list[Path]:
        """Return those that have changed since the run began, even when it was undone."""
        for file, version in self._seen.items():
            if file not in self._changed and _version(file) != version:
                self._changed.append(file)
        return self._changed

    def wait(self, stop: Callable[[], object]) -> list[Path]:
        """Wait for a change, and for the end of a burst of them, or until *stop* holds."""
        for _ in self._hints(stop):
            if stop():
                return []
            if self.changed():
                break
        until, before = time.monotonic() + _BURST_SECONDS, None
        while not stop() and time.monotonic() < until:
            if before == (now := list(map(_version, self._seen))):
                break
            before = now
            time.sleep(_QUIET_SECONDS)
        for file in self.changed():
            # It has the time in whole seconds and the size, so another content can look the same.
            with suppress(OSError, NotImplementedError):
                Path(cache_from_source(str(file))).unlink()
        return self._changed

    def _hints(self, stop: Callable[[], object]) -> Iterator[object]:
        """Yield now and whenever something has changed in a folder of the files, or may have."""
        yield None
        with suppress(OSError, RuntimeError):  # a folder has gone, or the system watches no more
            yield from _watched({file.parent for file in self._seen}, stop)
        while True:
            time.sleep(_STEP_SECONDS)
            yield None

    def _project(self) -> Path:
        folder = self._path.resolve().parent
        found = find_project(folder)
        return found.parent if found else folder

    def _follow(self, project: Path) -> None:
        """Add what the file imports, directly or not, from the folders where it looks."""
        package = package_module(self._path)
        first = package.root if package else self._path.resolve().parent
        roots = {first: None, **{Path(each): None for each in sys.path if each}}
        inside = [each for each in roots if _is_inside(each, project)]
        found = {self._path, *(_places(package.name, [package.root]) if package else ())}
        while found:
            self._seen |= {file: _version(file) for file in found}
            found = {each for file in found for each in _imports(file, inside)} - self._seen.keys()


def _watched(folders: set[Path], stop: Callable[[], object]) -> Iterator[object]:
    """Yield at every change in the folders, not below them, and once in a second."""
    from watchfiles import watch  # noqa: PLC0415  # asyncio and more: 0.1 s

    folders |= {each.resolve() for each in folders}
    yield from watch(
        *(each for each in folders if each.is_dir()),
        watch_filter=None,
        debounce=round(_OTHERS_SECONDS * 1000),
        step=round(_STEP_SECONDS * 1000),
        stop_event=_Stop(stop),
        rust_timeout=round(_LOOK_SECONDS * 1000),
        yield_on_timeout=True,
        recursive=False,
        raise_interrupt=False,
        ignore_permission_denied=True,
    )


class _Stop:
    """The condition that ends the wait, in the form that watchfiles asks for."""

    def __init__(self, condition: Callable[[], object]) -> None:
        self._condition = condition

    def is_set(self) -> bool:
        return bool(self._condition())


def _version(file: Path) -> _Version:
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _is_inside(path: Path, project: Path) -> bool:
    """Return whether a path is the project's own, and not a package that is installed below it."""
    library = Path(sysconfig.get_path("stdlib"))
    return (
        path.is_relative_to(project)
        and not path.is_relative_to(library)
        and not _INSTALLED & set(path.parts)
    )


def _file_of(module: object, project: Path) -> Path | None:
    """Return the file of a module of the project; None for all others, such as our own."""
    file = getattr(module, "__file__", None)
    own = str(getattr(module, "__name__", "")).partition(".")[0] == _OURS
    if own or not isinstance(file, str) or not _is_inside(Path(file), project):
        return None
    return Path(file)


def _imports(file: Path, roots: list[Path]) -> Iterator[Path]:
    """Yield the files that may be what *file* imports; some are not there, or not yet."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _places(alias.name, roots)
        elif isinstance(node, ast.ImportFrom):
            above = file.absolute().parents
            if node.level > len(above):
                continue
            starts = [above[node.level - 1]] if node.level else roots
            for alias in node.names:
                name = f"{node.module or ''}.{alias.name}".lstrip(".")
                yield from _places(name, starts, relative=bool(node.level))


def _places(name: str, starts: list[Path], *, relative: bool = False) -> Iterator[Path]:
    """Yield where the module *name*, and the packages around it, may be."""
    parts = name.split(".")
    if not relative and parts[0] in {*sys.stdlib_module_names, _OURS}:
        return
    for start in starts:
        for count in range(1, len(parts) + 1):
            place = start.joinpath(*parts[:count])
            yield place.with_name(f"{place.name}.py")
            if not place.is_dir():
                yield place  # a package that is not there yet
                break
            yield place / "__init__.py"
