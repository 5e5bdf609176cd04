"""Unused modules are those that libraries import and that a task never runs."""

from __future__ import annotations

import sys
from typing import Final

#: By importing package. PyInstaller reads every import statement, in functions too, and cannot know
#: which of them run; the runtime keeps the same modules out of a source start (`slim_import`).
UNUSED: Final[dict[str, tuple[str, ...]]] = {
    "httpx": (
        *("httpx._main", "click", "rich", "pygments"),  # its command line
        *("httpcore", "h11", "h2", "socksio", "certifi"),  # its own transport; ours is `wire`
        *("anyio", "sniffio", "trio", "asyncio"),  # its asynchronous client
        *("brotli", "brotlicffi", "zstandard", "chardet"),  # encodings, which we refuse
    ),
    "structlog": (
        *("asyncio", "rich", "colorama", "better_exceptions", "twisted", "greenlet"),
        "typing_extensions",  # names for type checkers
    ),
    "paho": ("socks", "dns", "typing_extensions"),  # a proxy, SRV records, an older Python
    "pydantic": ("hypothesis", "mypy", "pydantic.mypy", "pydantic.v1", "email_validator", "rich"),
    "pydantic_settings": ("yaml", "boto3", "azure", "google", "mypy_boto3_secretsmanager"),
}

#: Modules of the standard library that can be run, and read their command line then.
_PROGRAMS: Final = (
    *("ast", "calendar", "dis", "gzip", "inspect"),
    *("py_compile", "tarfile", "tokenize", "zipfile"),
)
#: The same of the standard library: what only its own tests, or `python -m ast FILE`, import.
UNUSED_IN_LIBRARY: Final[dict[str, tuple[str, ...]]] = {
    "random": ("statistics",),
    "decimal": ("_pydecimal",),  # for an interpreter without the module in C
    **dict.fromkeys(_PROGRAMS, ("argparse",)),
}

#: What other systems need to learn who holds a port.
OTHER_SYSTEMS: Final = ("epm_task.runtime.attestation_foreign",) if sys.platform == "linux" else ()

#: Imported by type checkers only, but PyInstaller does not know that; `hook-epm_task` adds it when
#: a program names `TaskSettings`.
SETTINGS: Final = "epm_task.runtime.settings"


def belongs_to(module: str, packages: tuple[str, ...]) -> bool:
    """Return whether *module* is one of the packages, or is in one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)
