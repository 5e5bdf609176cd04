"""Name the modules that libraries import and a task never runs, and keep them out of a build."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from epm_task.runtime.start_up import NEVER_RUN, OPTIONAL

#: By importing package. PyInstaller reads every import statement, in functions too, and cannot know
#: which of them run; the runtime knows.
UNUSED: Final = {
    package: (*OPTIONAL.get(package, ()), *NEVER_RUN.get(package, ()))
    for package in {**NEVER_RUN, **OPTIONAL}
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

#: Modules that only one system, as `sys.platform` names it, imports; "" for all but Windows.
_OF_ONE_SYSTEM: Final = {
    "epm_task.runtime.attestation.linux": "linux",
    "epm_task.runtime.attestation.macos": "darwin",
    "epm_task.runtime.attestation.windows": "win32",
    "epm_task.process_group.posix": "",
    "epm_task.process_group.windows": "win32",
    "epm_task.runtime.console_events": "win32",
    "epm_task.runtime.write_limit": "win32",
    "epm_task.trust.posix": "",
    "epm_task.trust.windows": "win32",
    "epm_task.windows_security": "win32",
}
#: Those of them that this system does not import.
OTHER_SYSTEMS: Final = tuple(
    module
    for module, platform in _OF_ONE_SYSTEM.items()
    if platform != sys.platform and (platform or sys.platform == "win32")
)

#: Imported by type checkers only, but PyInstaller does not know that; `hook-epm_task` adds it when
#: a program names `TaskSettings`.
SETTINGS: Final = "epm_task.runtime.settings"
#: What reads values of types that pydantic knows; few tasks have any.
RICH_VALUES: Final = "epm_task.runtime.rich_value"


def belongs_to(module: str, packages: tuple[str, ...]) -> bool:
    """Return whether *module* is one of the packages, or is in one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def registered() -> list[str]:
    """Return our folder of hooks; the entry point `hook-dirs` of the group `pyinstaller40`."""
    return [str(Path(__file__).parent / "hooks")]


def write_hooks(folder: Path, *, pydantic: bool, asyncio: bool) -> Path:
    """Write hooks that keep unused modules out while the imports are followed.

    The registered hook takes them out afterwards, which gives the same program three times as
    slowly. It has to: a hook for httpx would be one for every program that is built here.
    """
    late = {
        "epm_task.runtime.parameter": () if pydantic else (RICH_VALUES,),
        "epm_task.runtime.value_text": () if pydantic else (RICH_VALUES,),
        # Of the first two only type checkers import it.
        "epm_task.runtime.context": () if pydantic else ("pydantic",),
        "epm_task.runtime.state": () if pydantic else ("pydantic",),
        "epm_task.runtime.broker.inbox": (
            *(() if pydantic else ("pydantic",)),
            *(() if asyncio else ("asyncio",)),
        ),
        "epm_task.runtime.child": () if asyncio else ("asyncio",),
        "epm_task.runtime.handler": () if asyncio else ("asyncio",),
        # Schedules are checked where the job document is made.
        "epm_task.runtime.declaration": ("epm_task.contract.schedule",),
        "epm_task.runtime.admission": () if sys.platform == "darwin" else ("ctypes",),
        "epm_task.contract.program_text": () if sys.platform == "win32" else ("ctypes",),
        "epm_task.files": OTHER_SYSTEMS,
        "epm_task.process_group": OTHER_SYSTEMS,
        "epm_task.runtime.attestation.attestation": OTHER_SYSTEMS,
        "epm_task.runtime.stop": OTHER_SYSTEMS,
        "epm_task.runtime.timed_write": OTHER_SYSTEMS,
        "epm_task.trust": OTHER_SYSTEMS,
        # For coroutine functions that are marked as deprecated.
        "typing_extensions": () if asyncio else ("asyncio",),
    }
    folder.mkdir()
    for module, modules in {**UNUSED, **UNUSED_IN_LIBRARY, **late}.items():
        # PyInstaller's own hook for pydantic collects plugins for mypy and hypothesis.
        form = _PYDANTIC if module == "pydantic" else "excludedimports = {modules!r}\n"
        text = form.format(modules=list(modules))
        (folder / f"hook-{module}.py").write_text(text, encoding="ascii")
    return folder


_PYDANTIC = """\
from PyInstaller.utils.hooks import collect_submodules

excludedimports = {modules!r}
hiddenimports = collect_submodules(
    "pydantic", filter=lambda name: not name.startswith(("pydantic.mypy", "pydantic.v1"))
)
"""
