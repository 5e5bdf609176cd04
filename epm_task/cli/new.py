"""`epm-task new` and `upgrade`: make a project from the template, add to it, keep it up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epm_task.cli.options import AsJson
from epm_task.cli.output import FAILED, Failure, say, show_json
from epm_task.contract.argument_line import command_text
from epm_task.scaffold.template import ScaffoldError, TemplateVersions, add_task, make_project
from epm_task.scaffold.upgrade import Upgraded
from epm_task.scaffold.upgrade import upgrade as carry_out

if TYPE_CHECKING:
    from collections.abc import Iterable

    from epm_task.scaffold.template import Answer, Question, Template

_Templates = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Another folder with task/ and older/.", show_default=False
    ),
]
_Answers = Annotated[
    list[str] | None, typer.Option("--answer", metavar="KEY=VALUE", help="An answer; repeatable.")
]


def new(  # noqa: PLR0913  # each is an option of the command line
    name: Annotated[
        str | None, typer.Argument(help="Lower case, digits, hyphens.", show_default=False)
    ] = None,
    *,
    answer: _Answers = None,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Ask nothing; take the defaults.")
    ] = False,
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", metavar="FOLDER", help="Where it is made.")
    ] = Path(),
    into: Annotated[
        Path | None, typer.Option(metavar="PROJECT", help="Add the task to this project.")
    ] = None,
    templates: _Templates = None,
    as_json: AsJson = False,
) -> None:
    """Make a project for a task, with its test, its job and its checks; nothing is overwritten.

    At a terminal it asks what is not answered; elsewhere it takes the defaults.

    Example: epm-task new key-scanner --answer schedule=daily
    """
    template = TemplateVersions(templates).current
    answers = read_answers(template, answer or ())
    if name is not None:
        answers["name"] = name
    if sys.stdin.isatty() and not no_input:
        if "name" in answers:
            template.complete(answers)  # a name that is refused is not worth a question
        of_the_project = ("licence",)  # a task that is added has none of its own
        answers = ask(template, answers, of_the_project if into else ())
    elif "name" in answers:
        answers = template.complete(answers)
    else:
        raise Failure("the task has no name", fix="write epm-task new NAME")
    if into:
        files = add_task(template, answers, into)
        steps = _checks(into, files)
    else:
        project = make_project(template, answers, output_dir)
        files = sorted(path for path in project.rglob("*") if path.is_file())
        steps = _first_steps(project)
    if as_json:
        show_json({"files": [path.as_posix() for path in files], "next": steps})
        return
    made = f"added {', '.join(path.as_posix() for path in files)}" if into else f"made {project}"
    typer.echo("\n".join([f"{made}; next:", *(f"  {step}" for step in steps)]))


def _first_steps(project: Path) -> list[str]:
    module = next((project / "src").glob("*.py"), Path("task.py"))
    return [
        command_text(["cd", str(project)]),
        'python -m pip install -e ".[dev]"',
        f"epm-task run src/{module.name} -- --root .",
    ]


def _checks(project: Path, files: list[Path]) -> list[str]:
    module, test, *_ = (command_text([str(path)]) for path in files)
    return [
        f"epm-task run {module} -- --root {command_text([str(project)])}",
        f"python -m pytest {test}",
        f"epm-task job {module} --check",
    ]


def read_answers(template: Template, assignments: Iterable[str]) -> dict[str, Answer]:
    """Return the answers of `--answer key=value`.

    Raises:
        Failure: The template does not ask for it.
        ScaffoldError: A value does not answer its question.
    """
    answers: dict[str, Answer] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in template.questions:
            raise Failure(
                f"--answer {assignment} answers no question of the template",
                fix=f"write KEY=VALUE; the keys are {', '.join(template.questions)}",
            )
        answers[name] = template.questions[name].answer(text)
    return answers


def ask(template: Template, known: dict[str, Answer], skipped: Iterable[str]) -> dict[str, Answer]:
    """Return what is known, and the answers of the person at the terminal to all other questions.

    A refused answer is told, and asked for again.
    """
    answers = dict(known)
    for name, question in template.questions.items():
        while name not in answers and name not in skipped:
            answers[name] = _ask(question)
            try:
                template.complete(answers)
            except ScaffoldError as error:
                say(str(error))
                del answers[name]
    return answers


def _ask(question: Question) -> Answer:
    if isinstance(question.default, bool):
        return typer.confirm(question.prompt, default=question.default, err=True)
    for choice, meaning in question.choices.items():
        say(f"  {choice:<14} {meaning}")
    return str(typer.prompt(question.prompt, default=question.default, err=True))


def upgrade(
    project: Annotated[Path, typer.Argument(help="The folder of the project.")] = Path(),
    *,
    answer: _Answers = None,
    templates: _Templates = None,
    as_json: AsJson = False,
) -> int:
    """Merge what is new in the template into a project; nothing is committed.

    Exit code 1 says that there are conflicts, which git shows as those of any merge. To take it
    all back: git reset --hard.

    Example: epm-task upgrade --answer schedule=daily
    """
    versions = TemplateVersions(templates)
    upgraded = carry_out(project, versions, read_answers(versions.current, answer or ()))
    if as_json:
        show_json(upgraded._asdict())
    else:
        _show(upgraded)
    return FAILED if upgraded.conflicts else 0


def _show(upgraded: Upgraded) -> None:
    before, after, changed, conflicts = upgraded
    if not changed and not conflicts:
        typer.echo(f"nothing to do: the project is at version {after} of its template")
        return
    for letter, path in changed:
        typer.echo(f"{letter} {path}")
    for path in conflicts:
        typer.echo(f"C {path}: conflict")
    step = "resolve the conflicts, `git add` them, commit" if conflicts else "look, test, commit"
    typer.echo(f"template {before} -> {after}; next: {step}")
