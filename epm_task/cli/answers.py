"""Answers are what `new` and `upgrade` know from the command line, or ask at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from epm_task.cli.failure import Failure
from epm_task.scaffold.scaffold_error import ScaffoldError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from epm_task.scaffold.question import Answer, Question
    from epm_task.scaffold.template import Template


def read_answers(template: Template, assignments: Iterable[str]) -> dict[str, Answer]:
    """Return the answers of `--answer key=value`.

    Raises:
        Failure: The template does not ask for it.
        ScaffoldError: It is no answer to the question.
    """
    answers: dict[str, Answer] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in template.questions:
            raise Failure(
                f"--answer {assignment} answers no question of the template",
                f"write KEY=VALUE; the keys are {', '.join(template.questions)}",
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
                typer.echo(str(error), err=True)
                del answers[name]
    return answers


def _ask(question: Question) -> Answer:
    if isinstance(question.default, bool):
        return typer.confirm(question.prompt, default=question.default, err=True)
    for word, meaning in question.choices.items():
        typer.echo(f"  {word:<14} {meaning}", err=True)
    return str(typer.prompt(question.prompt, default=question.default, err=True))
