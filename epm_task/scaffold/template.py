"""A template is a folder from which cookiecutter makes a project, with the questions it asks."""

from __future__ import annotations

import json
import runpy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from epm_task.scaffold.question import Question
from epm_task.scaffold.scaffold_error import ScaffoldError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.scaffold.question import Answer

_FIX: Final = "give the folder of a cookiecutter template"


class Template:
    """One version of a template.

    Args:
        folder: The folder that holds `cookiecutter.json`.

    Attributes:
        folder: The same.
        version: Its number; a later one is larger.
        questions: What it asks, by the names of the answers.

    Raises:
        ScaffoldError: The folder holds no such template.
    """

    def __init__(self, folder: Path) -> None:
        """Read the questions."""
        self.folder: Final = folder
        raw = self._read()
        prompts = raw.pop("__prompts__", {})
        self.version: Final = int(raw.get("_template_version", 0))
        self.questions: Final = {
            name: Question.read(name, default, prompts.get(name, name))
            for name, default in raw.items()
            if not name.startswith("_")
        }

    def complete(self, answers: Mapping[str, Answer]) -> dict[str, Answer]:
        """Return these answers, and the defaults of the questions without one.

        Raises:
            ScaffoldError: The template refuses an answer.
        """
        asked = {name: answer for name, answer in answers.items() if name in self.questions}
        for name, answer in asked.items():
            self.questions[name].check(answer)
        complete = {name: one.default for name, one in self.questions.items()} | asked
        if why := self.refusal(complete):
            raise ScaffoldError(why, "choose another one")
        return complete

    def refusal(self, answers: Mapping[str, Answer]) -> str:
        """Return why the template refuses complete *answers*; empty when it takes them."""
        if self._refuse is None:
            return ""
        return str(self._refuse(str(answers["name"]), str(answers["description"])))

    def render(self, answers: Mapping[str, Answer], into: Path) -> Path:
        """Make the project below the folder *into*, and return its folder.

        Raises:
            ScaffoldError: The template refuses an answer.
        """
        # Imported here: 0.3 s, for two verbs only.
        from cookiecutter.exceptions import CookiecutterException  # noqa: PLC0415
        from cookiecutter.generate import generate_context, generate_files  # noqa: PLC0415
        from cookiecutter.prompt import prompt_for_config  # noqa: PLC0415
        from jinja2 import TemplateError  # noqa: PLC0415

        file = str(self.folder / "cookiecutter.json")
        context = generate_context(file, extra_context=self.complete(answers))
        context["cookiecutter"] = dict(prompt_for_config(context, no_input=True))
        # A `refusal` was asked by `complete`, in this process; any other hook is cookiecutter's.
        hooks = self._refuse is None
        try:
            made = generate_files(
                str(self.folder), context, output_dir=str(into), accept_hooks=hooks
            )
        except (CookiecutterException, TemplateError) as error:
            raise ScaffoldError(
                f"the template {self.folder} cannot be rendered: {error}", "correct the template"
            ) from error
        return Path(made)

    @cached_property
    def _refuse(self) -> Any:
        """The function `refusal` of the template's hook; None when there is none."""
        hook = self.folder / "hooks" / "pre_gen_project.py"
        # A hook without it may do anything when it is imported.
        if not hook.is_file() or "def refusal(" not in hook.read_text(encoding="utf-8"):
            return None
        return runpy.run_path(str(hook))["refusal"]

    def _read(self) -> dict[str, Any]:
        file = self.folder / "cookiecutter.json"
        try:
            raw = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise ScaffoldError(f"{file} cannot be read: {error}", _FIX) from error
        if not isinstance(raw, dict) or not {"name", "description"} <= raw.keys():
            raise ScaffoldError(f"{file} asks neither a name nor a description", _FIX)
        return raw
