"""A task file is what the user names on the command line: `FILE.py`, or `FILE.py:TASK`."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epm_task.cli.failure import Failure
from epm_task.runtime.task import Task

if TYPE_CHECKING:
    from types import ModuleType


def load_task(target: str) -> Task[..., Any]:
    """Import the file as `python FILE` would, and return the task that *target* names.

    Raises:
        Failure: There is no such file or task, or the file cannot be imported.
    """
    path, name = _split(target)
    module = _import(path)
    found = {value.name: value for value in vars(module).values() if isinstance(value, Task)}
    if not found:
        raise Failure(f"{path} holds no task", "decorate a function with @task")
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        problem = f"{path} holds no task {name!r}" if name else f"{path} holds several tasks"
        choices = " or ".join(f"{path}:{known}" for known in found)
        raise Failure(problem, f"name one: {choices}")
    return found[name]


def _split(target: str) -> tuple[Path, str | None]:
    path, name = Path(target), None
    if not path.exists() and ".py:" in target:  # the colon of C:\\ is followed by no task
        text, _, name = target.rpartition(":")
        path = Path(text)
    if not path.is_file():
        raise Failure(f"there is no file {path}", "give the path of a Python file with a task")
    if path.suffix != ".py":
        raise Failure(f"{path} is no Python file", "give a file that ends in .py")
    return path, name.replace("_", "-") if name else None


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise Failure(f"{path} cannot be imported", "give a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Failure(
            f"{path} cannot be imported: {_where(error, path)}{type(error).__name__}: {error}",
            "correct it; `python FILE --help` must work",
        ) from error
    finally:
        sys.path.pop(0)
    return module


def _where(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return ""  # its text names file and line already
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    return f"line {lines[-1]}: " if lines else ""
