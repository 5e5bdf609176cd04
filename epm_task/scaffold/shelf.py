"""A shelf holds the current template beside its older versions."""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from epm_task.scaffold.scaffold_error import ScaffoldError
from epm_task.scaffold.template import Template

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE: Final = Path(__file__).parents[1]


def own_folder() -> Path:
    """Return the folder with the templates of this installation: a wheel's, or a checkout's."""
    in_wheel = _PACKAGE / "templates"
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / "templates"


class Shelf:
    """A folder with `task/`, the current template, and `older/N.zip`, those before it."""

    def __init__(self, folder: Path | None = None) -> None:
        """Take the folder; None stands for the one of this installation."""
        self._folder = folder or own_folder()

    @property
    def current(self) -> Template:
        """The current template.

        Raises:
            ScaffoldError: The folder holds none.
        """
        return Template(self._folder / "task")

    @contextmanager
    def of_version(self, version: int) -> Iterator[Template]:
        """Give the template of that version, for the length of a `with` block.

        Raises:
            ScaffoldError: It is not on the shelf.
        """
        current = self.current
        if version == current.version:
            yield current
            return
        archive = self._folder / "older" / f"{version}.zip"
        if not archive.is_file():
            raise ScaffoldError(
                f"version {version} of the template is not part of this installation, which holds "
                f"version {current.version}",
                "install the epm-task that made the project, or a newer one",
            )
        with TemporaryDirectory(prefix="epm-template-") as folder:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
            yield Template(Path(folder))
