"""A slim import loads a library without the modules of it that a task never uses.

httpx imports its command line (click, pygments, rich) and structlog its console renderer (rich)
whenever those are installed; structlog imports asyncio for its coroutine methods. Together they
cost more than half of a task's start (`benchmarks/start_up.py`), so they are kept out, or put off.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Deferred(ModuleType):
    """A stand-in that becomes the real module when one of its names is used."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)


@contextmanager
def slim_import(*, without: tuple[str, ...] = (), deferred: tuple[str, ...] = ()) -> Iterator[None]:
    """Import in this block as if *without* were not installed, and *deferred* only when used.

    Modules that are loaded already are left alone. Not for use while other threads import.
    """
    stand_ins: dict[str, ModuleType | None] = {
        **dict.fromkeys(without),
        **{name: _Deferred(name) for name in deferred},
    }
    placed = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(placed)  # type: ignore[arg-type]  # None blocks an import, as documented
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
