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
    "structlog": ("asyncio", "rich", "colorama", "better_exceptions", "twisted", "greenlet"),
    "paho": ("socks", "dns"),  # a proxy, and SRV records
    "pydantic": ("hypothesis", "mypy", "pydantic.mypy", "pydantic.v1", "email_validator", "rich"),
    "pydantic_settings": ("yaml", "boto3", "azure", "google", "mypy_boto3_secretsmanager"),
}

#: What other systems need to learn who holds a port.
OTHER_SYSTEMS: Final = ("epm_task.runtime.attestation_foreign",) if sys.platform == "linux" else ()

#: Imported by type checkers only, but PyInstaller does not know that; `hook-epm_task` adds it when
#: a program names `TaskSettings`.
SETTINGS: Final = "epm_task.runtime.settings"


def belongs_to(module: str, packages: tuple[str, ...]) -> bool:
    """Return whether *module* is one of the packages, or is in one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)
