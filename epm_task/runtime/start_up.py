"""Make the start of a task faster: libraries without what a task never runs, and no garbage search.

httpx imports its command line (click, pygments, rich) and structlog its console renderer (rich)
whenever those are installed; structlog and pydantic-settings import asyncio for methods that a task
does not call. Together they cost more than half of a start (`benchmarks/instructions.py`).
"""

from __future__ import annotations

import gc
import sys
import threading
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: By importing package: modules that it can do without, and that a task never runs. While it is
#: imported they seem not to be installed; an executable does not hold them.
OPTIONAL: Final[dict[str, tuple[str, ...]]] = {
    "httpx": ("httpx._main", "brotli", "brotlicffi", "zstandard"),
    "structlog": ("rich", "colorama", "better_exceptions", "twisted", "greenlet"),
    "paho": ("socks", "dns"),  # PySocks would obey MQTT_PROXY; dnspython is for SRV records
    "pydantic_settings": ("yaml", "boto3", "azure", "google", "mypy_boto3_secretsmanager"),
}
#: Modules that it, or what it imports, has at its top, and that few tasks use: each is loaded when
#: one of its names is used.
PUT_OFF: Final[dict[str, tuple[str, ...]]] = {
    "httpx": ("asyncio", "idna", "inspect", "locale", "mimetypes", "shutil"),
    "structlog": ("asyncio",),
    "paho": ("uuid",),
    "pydantic_settings": (
        *("asyncio", "csv", "dotenv", "gettext"),
        *("locale", "secrets", "shlex", "shutil", "tokenize"),
    ),
}
#: Functions that are imported by name from a module that is put off, and called late.
_FUNCTIONS: Final = {"dotenv": ("dotenv_values",), "gettext": ("gettext", "ngettext")}
#: Modules that it imports late, for what a task never does: an executable does not hold them.
NEVER_RUN: Final[dict[str, tuple[str, ...]]] = {
    "httpx": (
        *("click", "rich", "pygments"),  # its command line
        *("httpcore", "h11", "h2", "socksio", "certifi"),  # its own transport; ours is `Wire`
        *("anyio", "sniffio", "trio", "asyncio"),  # its asynchronous client
        "chardet",
    ),
    "structlog": ("asyncio", "typing_extensions"),  # names for type checkers
    "paho": ("typing_extensions",),  # an older Python
    "pydantic": ("hypothesis", "mypy", "pydantic.mypy", "pydantic.v1", "email_validator", "rich"),
}


class _StandIn(ModuleType):
    """Stands in for a module, and loads it when one of its names is used."""

    def __getattr__(self, name: str) -> object:
        if name == "current_task" and sys.modules.get(self.__name__) is self:
            raise AttributeError(name)  # `logging` of 3.12 asks for each record; there is none yet
        functions = _FUNCTIONS.get(self.__name__, ())
        if name in functions:
            return partial(self._call, name)
        # The import system looks at a module; a submodule needs the path of a real one.
        if name.startswith("__") and (functions or name != "__path__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _call(self, name: str, *args: Any, **keywords: Any) -> Any:
        return getattr(self._real(), name)(*args, **keywords)

    def _real(self) -> ModuleType:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return import_module(self.__name__)


class _Refusal:
    """Lets this thread's imports of some modules fail; other threads do not notice."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._thread = threading.get_ident()

    def find_spec(self, name: str, *_: object) -> None:
        """Raise for one of the names, and leave all others to the other finders."""
        if name in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not used by a task", name=name)


@contextmanager
def slim_import(package: str) -> Iterator[None]:
    """Import *package* in this block without what it can do without, or later.

    Modules that are loaded already are left alone.
    """
    placed = {name: _StandIn(name) for name in PUT_OFF.get(package, ()) if name not in sys.modules}
    refusal = _Refusal(OPTIONAL.get(package, ()))
    sys.modules.update(placed)
    sys.meta_path.insert(0, refusal)
    try:
        with collector_paused():
            yield
    finally:
        sys.meta_path.remove(refusal)
        for name, stand_in in placed.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Make no search for garbage in this block: a start makes none, and looking costs 5 %."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            # Together they make all objects old at once, so that the next search skips them.
            gc.freeze()
            gc.unfreeze()
            gc.enable()
