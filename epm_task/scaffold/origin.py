"""An origin is what a project was made from: the version of the template with the answers."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, NamedTuple

from epm_task.scaffold.scaffold_error import ScaffoldError

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.scaffold.question import Answer


class Origin(NamedTuple):
    """What stands in `[tool.epm-task.template]` of a project's pyproject.toml."""

    version: int
    answers: dict[str, Answer]

    @classmethod
    def of(cls, project: Path) -> Origin:
        """Return the origin of *project*.

        Raises:
            ScaffoldError: There is no such project, or it was not made from the template.
        """
        file = project / "pyproject.toml"
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ScaffoldError(
                f"{file} cannot be read: {error}", "give the folder of a project"
            ) from error
        table = content.get("tool", {}).get("epm-task", {}).get("template")
        if not isinstance(table, dict) or not isinstance(table.get("version"), int):
            raise ScaffoldError(
                f"{file} holds no [tool.epm-task.template] with a version, so what the project "
                "was made from is not known",
                "only a project of `epm-task new` or of the template can be upgraded",
            )
        answers = {k: v for k, v in table.items() if isinstance(v, str | bool)}
        return cls(table["version"], answers)
