"""A component is an installed distribution of which something is inside a program."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from epm_task import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable


class Component(NamedTuple):
    """One library.

    Attributes:
        name: Its name on the package index, normalised.
        version: The version that is inside.
        licence: SPDX expression or the words of its metadata; "" when it says nothing.
    """

    name: str
    version: str
    licence: str


def components_of(files: Iterable[str]) -> list[Component]:
    """Return the distributions to which the files belong, ours included, sorted by name.

    Args:
        files: Absolute paths of modules and libraries, as they were installed.
    """
    wanted = {str(Path(file)) for file in files if "site-packages" in Path(file).parts}
    found = {"epm-task": Component("epm-task", __version__, "MIT")}
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if not name or name in found:
            continue
        if any(str(distribution.locate_file(file)) in wanted for file in distribution.files or ()):
            found[name] = Component(name, distribution.version, _licence(distribution))
    return [found[name] for name in sorted(found)]


def python_version() -> str:
    """Return the version of the interpreter that is inside: 3.11.7."""
    return ".".join(map(str, sys.version_info[:3]))


def _licence(distribution: metadata.Distribution) -> str:
    words = distribution.metadata
    for name in ("License-Expression", "License"):
        said = (words.get_all(name) or [""])[0]
        if said and "\n" not in said:
            return str(said)
    classifiers = [c for c in words.get_all("Classifier") or () if c.startswith("License ::")]
    return classifiers[0].rpartition(" :: ")[2] if classifiers else ""
