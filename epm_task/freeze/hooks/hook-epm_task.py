"""Tell PyInstaller what a task loads late, and what it never runs."""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, Any

from epm_task.freeze.unused import OTHER_SYSTEMS, SETTINGS, UNUSED, belongs_to

if TYPE_CHECKING:
    from collections.abc import Iterator

#: `epm_task.__getattr__` imports these by name, which no import statement shows.
hiddenimports: list[str] = [
    "epm_task.errors",
    "epm_task.exit_code",
    "epm_task.runtime.context",
    "epm_task.runtime.task",
    "epm_task.contract.topic",
]
excludedimports: list[str] = [SETTINGS]


def hook(api: Any) -> None:
    """Add the settings when the program names them, and cut the imports that never run."""
    if any("TaskSettings" in _names(node.code) for node in _foreign(api.graph)):
        api.add_imports(SETTINGS)
    _cut(api.graph, {**UNUSED, "epm_task": OTHER_SYSTEMS})


def _foreign(graph: Any) -> Iterator[Any]:
    for node in list(graph.nodes()):
        name = str(node.identifier)
        if isinstance(getattr(node, "code", None), CodeType) and not belongs_to(
            name, ("epm_task", *UNUSED)
        ):
            yield node


def _names(code: CodeType) -> set[str]:
    """Return the names that the code uses, and those that it imports."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
        elif isinstance(constant, tuple):
            found |= {name for name in constant if isinstance(name, str)}
    return found


def _cut(graph: Any, unused: dict[str, tuple[str, ...]]) -> None:
    for importer in list(graph.nodes()):
        for package, modules in unused.items():
            if not belongs_to(str(importer.identifier), (package,)):
                continue
            for target in list(graph.outgoing(importer)):
                if belongs_to(str(target.identifier), modules):
                    graph.removeReference(importer, target)
