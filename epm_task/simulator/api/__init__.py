"""The agent's local HTTPS API, with its port for plain HTTP beside it.

Importing aiohttp imports its client, too, which reads the CA certificates of the system and takes
two thirds of the time. The agent imports the server alone; whoever asks for another name of aiohttp
gets all of it at that moment.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, Final

#: What its code defines, of the names that Python and others look for in every module.
_ITS_OWN: Final = frozenset({"__all__", "__version__"})


class _ServerOnly(ModuleType):
    """The package aiohttp, whose own code is run when a name of it is asked for."""

    _lock: Final = threading.RLock()
    _complete = False

    def __getattr__(self, name: str) -> Any:
        if self.__spec__ is None or (name.startswith("__") and name not in _ITS_OWN):
            raise AttributeError(name)
        with self._lock:
            if not self._complete and self.__spec__.loader:
                self._complete = True
                self.__spec__.loader.exec_module(self)
        if name in vars(self):
            return vars(self)[name]
        raise AttributeError(name)


def _import_server() -> None:
    spec = find_spec("aiohttp")
    if spec is not None and "aiohttp" not in sys.modules:
        sys.modules["aiohttp"] = package = module_from_spec(spec)
        vars(package)["__version__"] = ""  # goes into the header `Server`
        try:
            import_module("aiohttp.web")
        finally:
            del vars(package)["__version__"]
            package.__class__ = _ServerOnly


_import_server()

from aiohttp import web as web  # noqa: E402  # the server alone
