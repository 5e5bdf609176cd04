"""Find the file that Python loads in the place of a module of its own, or of a library.

`python FILE` looks for modules beside FILE first, so a `platform.py` there is loaded by everything
that wants Python's. What comes of it names any other file. This module needs only what Python has
loaded before it looks there: the module that is missing may be any other.
"""

# ruff: noqa: PTH100, PTH119, PTH120, PTH208  # pathlib may be the one that is missing

from __future__ import annotations

import _imp
import os
import sys

TYPE_CHECKING = False  # typing may be the one that is missing
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import FrameType


def shadow_of(error: BaseException | None, place: str | None = None) -> tuple[str, str, str] | None:
    """Return what, why and fix when a file in *place* is the cause of *error*; else None.

    It is when the error is about the module that the file is, or was raised in it while somebody
    else imported it, or in a library that uses it. *place* is the folder of the program, by default
    the one in which Python looks first.
    """
    place = os.path.abspath(sys.path[0] if place is None else place)
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        for name in _suspects(error, place):
            if file := shadow(name, place):
                return described(file, name, f"hence {type(error).__name__}")
        error = error.__cause__ or error.__context__
    return None


def raise_shadow(error: BaseException) -> None:
    """Raise ImportError with one sentence when a file is the cause of *error*; else return."""
    if found := shadow_of(error):
        what, why, fix = found
        raise ImportError(f"{what}: {why}; {fix}") from None


def described(file: str, name: str, why: str = "") -> tuple[str, str, str]:
    """Return what, why and fix for a file that shadows the module *name*."""
    if os.path.basename(file).startswith("__init__."):
        file = os.path.dirname(file)
    whose = "Python's own" if name in sys.stdlib_module_names else "the installed"
    return f"{file} shadows {whose} module {name}", why, "rename it"


def shadows_in(place: str, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield file and name of each of these modules that a file in *place* shadows."""
    place = os.path.abspath(place)
    for entry in sorted(os.listdir(place)):
        name = entry.partition(".")[0]
        if name in names and (file := shadow(name, place)):
            yield file, name


def shadow(name: str, place: str) -> str:
    """Return the file of the module *name* in *place*, when there is another one; else ""."""
    if not name or name in sys.builtin_module_names or _imp.is_frozen(name):
        return ""  # Python has these without looking for a file
    own = _origin(name, [place])
    elsewhere = [path for path in sys.path if os.path.abspath(path) != place]
    other = _origin(name, elsewhere) if own else ""
    pythons_place = place == os.path.dirname(os.path.abspath(os.__file__))
    return own if other and other != own and not pythons_place else ""


def _origin(name: str, places: list[str]) -> str:
    finder = sys.modules["_frozen_importlib_external"].PathFinder
    found = finder.find_spec(name, places)
    return str(found.origin or "") if found is not None else ""  # a namespace has none


def _suspects(error: BaseException, place: str) -> Iterator[str]:
    """Yield the top-level modules that the error may be about."""
    if isinstance(error, ImportError):
        yield _top(error.name)
    if isinstance(error, AttributeError) and isinstance(error.obj, type(sys)):
        yield _top(error.obj.__name__)
    step, frame, of_others = error.__traceback__, None, False
    while step is not None:
        frame = step.tb_frame
        own = _is_authors(frame, place)
        if own and of_others and frame.f_code.co_name == "<module>":
            yield _top(frame.f_globals.get("__name__"))
        of_others = not own and not frame.f_code.co_filename.startswith("<")
        step = step.tb_next
    if frame is not None and of_others:
        for value in list(frame.f_globals.values()):
            if not isinstance(value, type(sys) | type | type(_top)):
                continue
            name = _top(value.__name__ if isinstance(value, type(sys)) else value.__module__)
            loaded = getattr(sys.modules.get(name), "__file__", None)
            if loaded and loaded == shadow(name, place):
                yield name


def _is_authors(frame: FrameType, place: str) -> bool:
    file = os.path.abspath(frame.f_code.co_filename)
    libraries = ("site-packages", "dist-packages", os.path.dirname(os.path.abspath(os.__file__)))
    return file.startswith(place + os.sep) and not any(one in file for one in libraries)


def _top(name: object) -> str:
    return name.partition(".")[0] if isinstance(name, str) else ""
