"""The verbs of `epm-task`: each is imported when it is called, as some of them load much."""

from __future__ import annotations

import os
import re
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from epm_task.cli.interruption import raise_again
from epm_task.runtime.start_up import collector_paused

#: Long enough for a whole sentence; the formatter wraps it.
_SENTENCE = 200

#: The list of verbs: by section and verb, the module below `epm_task.cli` whose function of this
#: name it is, and what it does, in one line of a terminal of 80 columns.
SECTIONS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Write a task": {
        "new": ("new", "Make a project for a task, with its test and its job."),
        "upgrade": ("new", "Merge what is new in the template into a project."),
    },
    "Try a task on this machine": {
        "run": ("run", "Run one task under a local agent; end with its exit code."),
        "agent": ("agent", "Run a local agent, with jobs and settings, until Ctrl-C."),
    },
    "Write and check job documents": {
        "job": ("job", "Write the job document that the code declares."),
        "validate": ("job", "Check job documents; exit 1 when something is found."),
        "explain": ("job", "Explain a finding of `epm-task validate`."),
    },
    "Build and check executables": {
        "freeze": ("freeze", "Make an executable of a task, with its manifest and SBOM."),
        "verify": ("freeze", "Start an executable under a local agent, and check it."),
        "verify-install": ("freeze", "Compare an installed program with its manifest."),
    },
    "Understand a run": {
        "runs": ("runs", "List and show the runs of an agent, with their records."),
        "doctor": ("doctor", "Find out why a task does not run."),
        "exit-codes": ("doctor", "List the exit codes of a task, with their meanings."),
    },
    "Administer an agent": {
        "jobs": ("jobs", "List, apply, trigger, delete jobs of an agent."),
        "publish": ("publish", "Publish a message on the broker of an agent."),
        "deploy": ("policy", "Bring programs and their jobs to an agent, and back."),
    },
}
_VERBS: Final = {verb: row for verbs in SECTIONS.values() for verb, row in verbs.items()}
#: Numbers as most people write them.
_NUMBERS: Final[dict[Any, str]] = {int: "[0-9]{1,9}", float: r"[0-9]{1,9}(\.[0-9]{1,9})?"}


class _Plain:
    """A command that converts plain values itself: Typer loads pydantic for each, which is slow."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in found:
            if "process_value" not in vars(each):
                each.process_value = partial(_processed, each, each.process_value)
        return found


def _processed(parameter: Any, by_typer: Any, context: Any, value: Any) -> Any:
    if value is None and not parameter.required:
        value = () if parameter.multiple or parameter.nargs == -1 else None
    elif value is None or value is not parameter.default:
        described = getattr(parameter, "type_descriptor", None)  # an older Typer has none
        value, text = _converted(described, value), value
        if value is None:
            return by_typer(context, text)
    return parameter.callback(context, parameter, value) if parameter.callback else value


def _converted(described: Any, value: Any) -> Any:
    """Return text as what a parameter takes, or None for what Typer must look at, or refuse."""
    kind: Any = getattr(described, "annotation", None)
    if kind == list[str] and isinstance(value, list | tuple):
        return value if all(isinstance(each, str) for each in value) else None
    if not isinstance(value, str) or kind is str:
        return value if kind is str else None
    if kind is Path and (os.access(value, os.R_OK) or not os.path.lexists(value)):
        return Path(value)
    if re.fullmatch(_NUMBERS.get(kind, "(?!)"), value):
        limits, number = described.parameter_info, kind(value)
        fits = (limits.min or 0) <= number <= (number if limits.max is None else limits.max)
        return number if fits else None
    return None


class Verb(_Plain, TyperCommand):
    """One verb."""


class SubVerbs(_Plain, TyperGroup):
    """The verbs below a verb."""


class VerbGroup(_Plain, TyperGroup):
    """A group whose help has one section for each `rich_help_panel`, and that loads verbs late."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Return the verb that is called, loaded now; its entry in the list is only a name."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in _VERBS:
            command = (_completing(name, rest) if ctx.resilient_parsing else None) or load(name)
        raise_again()
        return name, command, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections in the order in which their first verbs were registered."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            title = getattr(command, "rich_help_panel", None)
            section = sections.setdefault(title if isinstance(title, str) else "Commands", [])
            section.append((name, command.get_short_help_str(limit=_SENTENCE)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _completing(verb: str, words: list[str]) -> Any:
    """Return what completes a value of a verb for the shell; None when the verb itself does."""
    from epm_task.cli.completion import completing  # noqa: PLC0415  # for a shell only

    return completing(verb, words, load)


def load(verb: str) -> Any:
    """Import a verb of `SECTIONS`, and return it as the command that Typer makes of it."""
    from epm_task.cli.options import command_app  # noqa: PLC0415  # the list needs none of it

    name, summary = _VERBS[verb]
    with collector_paused():
        module = import_module(f"epm_task.cli.{name}")
    found = getattr(module, verb.replace("-", "_"))
    if isinstance(found, typer.Typer):
        found.info.cls = SubVerbs
    else:
        function, found = found, command_app()
        found.command(verb)(function)
    for each in found.registered_commands:
        each.cls = Verb
    found.info.help = summary  # of a group; a function has its docstring
    return get_command(found)


app: typer.Typer = typer.Typer(
    name="epm-task",
    cls=VerbGroup,
    help="Write, run and test job tasks for Keeper Endpoint Privilege Manager.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _listed() -> None:
    """Be in the list of verbs, until the verb itself is loaded."""


for _section, _verbs in SECTIONS.items():
    for _name, (_, _summary) in _verbs.items():
        app.command(_name, help=_summary, rich_help_panel=_section)(_listed)


@app.callback()
def _options(
    *,
    # `main` looks for both.
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show a defect with its traceback.")
    ] = False,
) -> None:
    """Write, run and test job tasks for Keeper Endpoint Privilege Manager."""
