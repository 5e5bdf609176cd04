"""A missing import is one that fails when it runs, because nobody has installed the module.

One at the top of a file stops a build. One in a function does not: PyInstaller notes it among the
many that libraries try and do without, and goes on.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

#: `missing module named NAME - imported by PATH (delayed), MODULE (conditional, optional)`.
_LINE: Final = re.compile(r"missing module named '?([\w.]+)'? - imported by (.+)")
_IMPORTER: Final = re.compile(r"(.+?) \(([a-z, -]+)\)(?:, |$)")
#: In a `try`, or below a condition such as `TYPE_CHECKING`: the author knows.
_HARMLESS: Final = frozenset({"optional", "conditional"})


def missing_imports(notes: str, own: Collection[str]) -> tuple[str, ...]:
    """Return the missing modules that a program's own files need.

    Args:
        notes: What PyInstaller wrote to `warn-*.txt`.
        own: Names of the program's own modules, and of its main file.
    """
    found = []
    for line in notes.splitlines():
        match = _LINE.match(line)
        importers = _IMPORTER.findall(match[2]) if match else []
        if match and any(
            (name in own or PurePath(name).name in own) and not _HARMLESS & set(flags.split(", "))
            for name, flags in importers
        ):
            found.append(match[1])
    return tuple(found)
