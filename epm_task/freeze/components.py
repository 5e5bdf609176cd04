"""A component is an installed distribution of which something is inside a program."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import PurePath, PurePosixPath
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


def components_of(names: Iterable[str]) -> list[Component]:
    """Return the distributions to which files belong, ours included, sorted by name.

    Args:
        names: Paths of the files relative to `site-packages`; modules may be compiled.
    """
    wanted = {_stem(name) for name in names}
    found = {"epm-task": Component("epm-task", __version__, "MIT")}
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if not name or name in found:
            continue
        if any(_stem(file.as_posix()) in wanted for file in distribution.files or ()):
            found[name] = Component(name, distribution.version, _licence(distribution))
    return [found[name] for name in sorted(found)]


def _stem(name: str) -> str:
    path = PurePosixPath(PurePath(name).as_posix())
    return str(path.with_suffix("") if path.suffix in {".py", ".pyc"} else path)


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
