"""A hook folder holds what PyInstaller has to know of a package; ours is found by entry point."""

from __future__ import annotations

from pathlib import Path

from epm_task.freeze.unused import OTHER_SYSTEMS, UNUSED, UNUSED_IN_LIBRARY


def registered() -> list[str]:
    """Return our folder of hooks; the entry point `hook-dirs` of the group `pyinstaller40`."""
    return [str(Path(__file__).parent / "hooks")]


def write_hooks(folder: Path, *, pydantic: bool, asyncio: bool) -> Path:
    """Write hooks that keep unused modules out while the imports are followed.

    The registered hook takes them out afterwards, which gives the same program three times as
    slowly. It has to: a hook for httpx would be one for every program that is built here.

    Args:
        folder: A new folder.
        pydantic: Whether the program needs pydantic.
        asyncio: Whether the program needs asyncio.
    """
    folder.mkdir()
    for package, modules in {**UNUSED, **UNUSED_IN_LIBRARY}.items():
        if package == "pydantic":
            # In place of PyInstaller's own hook, which collects plugins for mypy and hypothesis.
            text = _PYDANTIC.format(modules=modules)
        else:
            text = f"excludedimports = {list(modules)!r}\n"
        (folder / f"hook-{package}.py").write_text(text, encoding="ascii")
    late = {
        "epm_task.runtime.parse_text": () if pydantic else ("pydantic",),
        "epm_task.runtime.handler": () if asyncio else ("asyncio",),
        "epm_task.runtime.attestation": OTHER_SYSTEMS,
        # For coroutine functions that are marked as deprecated.
        "typing_extensions": () if asyncio else ("asyncio",),
    }
    for module, modules in late.items():
        text = f"excludedimports = {list(modules)!r}\n"
        (folder / f"hook-{module}.py").write_text(text, encoding="ascii")
    return folder


_PYDANTIC = """\
from PyInstaller.utils.hooks import collect_submodules

unused = {modules!r}
excludedimports = list(unused)
hiddenimports = collect_submodules(
    "pydantic", filter=lambda name: not name.startswith(("pydantic.mypy", "pydantic.v1"))
)
"""
