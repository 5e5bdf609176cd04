"""Make a project of the cookiecutter template, or add a task to one, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import runpy
import shutil
import tomllib
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from epm_task.contract.json_text import BadJson, read_object
from epm_task.errors import EpmTaskError
from epm_task.files import naming

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Answer: TypeAlias = str | bool

_YES: Final = frozenset({"1", "true", "yes", "y", "on"})
_NO: Final = frozenset({"0", "false", "no", "n", "off"})


class ScaffoldError(EpmTaskError):
    """A project cannot be made or upgraded; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a template.

    Attributes:
        name: The name of its answer.
        prompt: How people are asked.
        default: The answer of those who are not asked.
        choices: The answers to choose from, with their meaning; empty when any text will do.
    """

    name: str
    prompt: str
    default: Answer
    choices: dict[str, str]

    @classmethod
    def read(cls, name: str, default: Any, prompt: Any) -> Self:
        """Return the question of one entry of `cookiecutter.json` and of its `__prompts__`."""
        words = default if isinstance(default, list) else []
        meanings = prompt if isinstance(prompt, dict) else {"__prompt__": prompt}
        choices = {word: str(meanings.get(word, word)) for word in words}
        first = words[0] if words else default
        return cls(name, str(meanings.get("__prompt__", name)), first, choices)

    def answer(self, text: str) -> Answer:
        """Return the answer that *text* means, as typed on a command line.

        Raises:
            ScaffoldError: It is none of the choices, or neither yes nor no.
        """
        word = text.lower()
        truth = isinstance(self.default, bool) and word in _YES | _NO
        return self.check(word in _YES if truth else text)

    def check(self, answer: Answer) -> Answer:
        """Return *answer* when it is one for this question.

        Raises:
            ScaffoldError: It is none of the choices, or neither yes nor no.
        """
        expected = ""
        if self.choices and answer not in self.choices:
            expected = " or ".join(self.choices)
        elif isinstance(self.default, bool) != isinstance(answer, bool):
            expected = "true or false" if isinstance(self.default, bool) else "a text"
        if expected:
            raise ScaffoldError(f"{answer!r} cannot answer {self.name}", fix=f"write {expected}")
        return answer


class Template:
    """One version of a template.

    Attributes:
        folder: The folder that holds `cookiecutter.json`.
        version: Its number; a later version has a larger one.
        questions: What it asks, by the names of the answers.

    Raises:
        ScaffoldError: The folder holds no such template.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        raw = _read(folder / "cookiecutter.json")
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
        complete = {
            name: question.check(answers[name]) if name in answers else question.default
            for name, question in self.questions.items()
        }
        if why := self.refusal(complete):
            raise ScaffoldError(why, fix="choose another one")
        return complete

    def refusal(self, answers: Mapping[str, Answer]) -> str:
        """Return why the template refuses complete *answers*; empty when it takes them."""
        if self._refuse is None:
            return ""
        return str(self._refuse(str(answers["name"]), str(answers["description"])))

    def render(self, answers: Mapping[str, Answer], into: Path) -> Path:
        """Make the project below the folder *into*, and return its folder.

        Raises:
            ScaffoldError: The template refuses an answer, or cannot be rendered.
            OSError: The folder cannot be written.
        """
        # Imported here: 0.3 s, for two verbs only.
        from cookiecutter.exceptions import CookiecutterException  # noqa: PLC0415
        from cookiecutter.generate import generate_context, generate_files  # noqa: PLC0415
        from cookiecutter.prompt import prompt_for_config  # noqa: PLC0415
        from jinja2 import TemplateError  # noqa: PLC0415

        file = str(self.folder / "cookiecutter.json")
        context = generate_context(file, extra_context=self.complete(answers))
        context["cookiecutter"] = dict(prompt_for_config(context, no_input=True))
        # `complete` has called `refusal` in this process; any other hook is cookiecutter's to run.
        hooks = self._refuse is None
        try:
            made = generate_files(
                str(self.folder), context, output_dir=str(into), accept_hooks=hooks
            )
        except (CookiecutterException, TemplateError) as error:
            raise ScaffoldError(
                f"the template {self.folder} cannot be rendered", str(error), "correct the template"
            ) from error
        except shutil.Error as error:  # it has a text for each copy that failed, and no errno
            why = str(error.args[0][0][-1]).partition(": '")[0]
            raise OSError(errno.EIO, why) from error
        return Path(made)

    @cached_property
    def _refuse(self) -> Any:
        """The function `refusal` of the template's hook, or None."""
        hook = self.folder / "hooks" / "pre_gen_project.py"
        # A hook without it may do anything when it is imported.
        if not hook.is_file() or "def refusal(" not in hook.read_text(encoding="utf-8"):
            return None
        return runpy.run_path(str(hook))["refusal"]


def _read(file: Path) -> dict[str, Any]:
    fix = "give the folder of a cookiecutter template"
    try:
        raw = read_object(file)
    except BadJson as error:
        raise ScaffoldError(f"{file}: {error.what}", error.why, fix) from error
    if not {"name", "description"} <= raw.keys():
        raise ScaffoldError(f"{file} asks neither a name nor a description", fix=fix)
    return raw


class TemplateVersions:
    """All versions of the template: `task/`, the current one, and `older/N.zip`, those before.

    Without a folder they are those of this installation.
    """

    def __init__(self, folder: Path | None = None) -> None:
        package = Path(__file__).parents[1]
        in_wheel = package / "templates"
        in_checkout = package.parent / "templates"
        self._folder = folder or (in_wheel if in_wheel.is_dir() else in_checkout)

    @property
    def current(self) -> Template:
        """The current template.

        Raises:
            ScaffoldError: The folder holds none.
        """
        return Template(self._folder / "task")

    @contextmanager
    def get(self, version: int) -> Iterator[Template]:
        """Give the template of that version, for the length of a `with` block.

        Raises:
            ScaffoldError: The folder does not hold it.
        """
        current = self.current
        if version == current.version:
            yield current
            return
        archive = self._folder / "older" / f"{version}.zip"
        if not archive.is_file():
            raise ScaffoldError(
                f"version {version} of the template is not part of this installation",
                f"it holds version {current.version}",
                "install the epm-task that made the project, or a newer one",
            )
        with TemporaryDirectory(prefix="epm-template-") as folder:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
            yield Template(Path(folder))


#: What makes a task, apart from its project: the module, its test, its job.
_TASK_FILES: Final = ("src/*.py", "tests/test_*.py", "Jobs/*.json")


#: What the folder's name begins with in which a project is rendered.
_ASIDE: Final = ".epm-task-new-"


def make_project(template: Template, answers: Mapping[str, Answer], output_dir: Path) -> Path:
    """Make a project in a folder of its own below *output_dir*, and return that folder.

    Raises:
        ScaffoldError: The template refuses an answer, or the folder exists.
        OSError: The folder cannot be written.
    """
    complete = template.complete(answers)
    output_dir.mkdir(parents=True, exist_ok=True)
    folder = output_dir.absolute()
    with (
        naming(output_dir, below=folder / _ASIDE),
        TemporaryDirectory(dir=folder, prefix=_ASIDE) as aside,
    ):
        made = template.render(complete, Path(aside))
        target = output_dir / made.name
        _refuse_present([target])
        made.rename(target)
    return target


def add_task(template: Template, answers: Mapping[str, Answer], project: Path) -> list[Path]:
    """Add module, test and job of a task to *project*, and return the three files.

    The module is added to the task list of pyproject.toml too.

    Raises:
        ScaffoldError: The template refuses an answer, a file exists, or *project* is not one.
        OSError: The folder cannot be written.
    """
    pyproject = project / "pyproject.toml"
    if not pyproject.is_file():
        raise ScaffoldError(
            f"{project} is not a project",
            "it holds no pyproject.toml",
            "give the folder of a project, or leave --into out",
        )
    with TemporaryDirectory(prefix="epm-task-new-") as aside:
        made = template.render(answers, Path(aside))
        sources = [file for pattern in _TASK_FILES for file in sorted(made.glob(pattern))]
        targets = [project / source.relative_to(made) for source in sources]
        _refuse_present(targets)
        module = targets[0].relative_to(project).as_posix()
        listed = with_task(pyproject.read_bytes().decode("utf-8-sig"), module)
        _copy_all(sources, targets)
        pyproject.write_bytes(listed.encode())
    return targets


def _copy_all(sources: list[Path], targets: list[Path]) -> None:
    written: list[Path] = []
    try:
        for source, target in zip(sources, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                written.append(target)
                file.write(source.read_bytes())
    except OSError:
        for target in written:
            target.unlink()
        raise


def _refuse_present(paths: list[Path]) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise ScaffoldError(
                f"{path} exists, and nothing is ever overwritten", fix="choose another name"
            )


_TABLE: Final = re.compile(r"^\[tool\.epm-task\][ \t]*(?:#[^\r\n]*)?(?=\r?$)", re.MULTILINE)
_LIST: Final = re.compile(r"^tasks[ \t]*=[ \t]*\[(.*?)[,\s]*\]", re.MULTILINE | re.DOTALL)


def with_task(pyproject: str, file: str) -> str:
    """Return the text of a pyproject.toml with *file* in the task list, all else untouched.

    Raises:
        ScaffoldError: The text is not TOML, or has its list in a form that cannot be extended.
    """
    try:
        wanted = tomllib.loads(pyproject)
    except tomllib.TOMLDecodeError as error:
        raise ScaffoldError("pyproject.toml cannot be read", str(error), "correct it") from error
    table = wanted.setdefault("tool", {}).setdefault("epm-task", {})
    table["tasks"] = [*table.get("tasks", []), file]
    changed = _extended(pyproject, json.dumps(file))
    try:
        works = tomllib.loads(changed) == wanted
    except tomllib.TOMLDecodeError:
        works = False
    if not works:
        raise ScaffoldError(
            "pyproject.toml names its tasks in a form that cannot be extended",
            fix='write tasks = ["FILE"] below [tool.epm-task]',
        )
    return changed


def _extended(text: str, quoted: str) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    line = f"tasks = [{quoted}]"
    table = _TABLE.search(text)
    if table is None:
        return end.join([text.rstrip(), "", "[tool.epm-task]", line, ""])
    found = _LIST.search(text, table.end())
    if found is None:
        return f"{text[: table.end()]}{end}{line}{text[table.end() :]}"
    comma = ", " if found[1].strip() else ""
    return f"{text[: found.end(1)]}{comma}{quoted}{text[found.end(1) :]}"
