"""The options that several verbs have, each described once, and those of the Admin tier.

A verb with `@connected` has the options that say where the agent is and who calls.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Concatenate,
    NamedTuple,
    ParamSpec,
    TypeAlias,
    TypeVar,
    get_type_hints,
)

import typer

from epm_task.contract.layout import PRESETS

if TYPE_CHECKING:
    from epm_task.admin.client import AdminClient
    from epm_task.admin.settings import AdminSettings

P = ParamSpec("P")
R = TypeVar("R")

AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")
]
TaskArguments: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="[-- ARGS]", help="Arguments of the task.", show_default=False),
]
Setting: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="PLUGIN.key=value", help="A compiled-in setting; repeatable."),
]
Settings: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help='JSON: {"Plugin": {"key": "value"}}.')
]
Fault: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="FAULT", help='Such as "api status=403 times=3"; repeatable.'),
]
FaultsFile: TypeAlias = Annotated[Path | None, typer.Option(metavar="FILE", help="Faults in TOML.")]
RecordFile: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write what passes, secrets masked.")
]
TraceFile: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write every decision as a JSON line.")
]
WithConsole: TypeAlias = Annotated[
    bool, typer.Option("--console", help="Serve a page that shows what happens; print its address.")
]
Verbose: TypeAlias = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the agent's decisions too.")
]
AgentRoot: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The agent's folder, else the first that exists of: "
        + ", ".join(PRESETS.get(sys.platform, ())),
    ),
]
WaitSeconds: TypeAlias = Annotated[
    float, typer.Option(min=0.1, help="Seconds to wait for the end of a run.")
]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def command_app() -> typer.Typer:
    """Return what a verb is made of, or the verbs of a group; alone it shows the group's help."""
    return typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def with_hyphens(command: Any, words: Sequence[str]) -> list[str]:
    """Return *words* with all that a verb does not know after two hyphens, for the task.

    Empty when the verb takes no arguments of a task, knows all words, or is left without a target.
    """
    if not any("-- ARGS" in str(each.metavar) for each in command.params):
        return []
    own = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    end = words.index("--") if "--" in words else len(words)
    before: list[str] = []
    foreign: list[str] = []
    has_target = awaits_value = False
    rest = iter(words[:end])
    for word in rest:
        name, equals, _ = word.partition("=")
        if word.startswith("-") and (option := own.get(name)):
            before.append(word)
            before += [] if equals or option.is_flag else [next(rest, "")]
        elif word.startswith("-"):
            foreign.append(word)
            awaits_value = not equals
            continue
        elif awaits_value and (has_target or ".py" not in word):
            foreign.append(word)
        else:
            before.append(word)
            has_target = True
        awaits_value = False
    has_target |= not command.params[0].required  # `freeze` has the project's own
    return [*before, "--", *foreign, *words[end + 1 :]] if foreign and has_target else []


class Connection(NamedTuple):
    """The connection options as they were given; nothing is read before it is asked for."""

    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The agent's API, else EPM_TASK_ADMIN_BASE_URL, else https://127.0.0.1:6889.",
        ),
    ] = None
    cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Client certificate, else EPM_TASK_ADMIN_CERT."),
    ] = None
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Its private key, else EPM_TASK_ADMIN_KEY, else in the certificate's file.",
        ),
    ] = None
    cacert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CA of the agent, else EPM_TASK_ADMIN_CACERT, else the port's owner is checked.",
        ),
    ] = None

    def settings(self) -> AdminSettings:
        """Return what options, environment and pyproject.toml say.

        Raises:
            AdminError: One of them is wrong; the message says which.
        """
        # httpx: 50 ms, for verbs that ask an agent
        from epm_task.admin.settings import read_admin_settings  # noqa: PLC0415

        return read_admin_settings(self._asdict(), os.environ, Path.cwd())

    def client(self) -> AdminClient:
        """Return a client of the agent.

        Raises:
            AdminError: A setting, or a file that it names, is wrong; the message says which.
        """
        return self.settings().client()


def connected(verb: Callable[Concatenate[Connection, P], R]) -> Callable[..., R]:
    """Give a verb the connection options; what they say becomes its first argument."""
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in get_type_hints(Connection, include_extras=True).items()
    ]
    own = list(inspect.signature(verb, eval_str=True).parameters.values())[1:]

    @wraps(verb)
    def command(**given: Any) -> R:
        """Make the connection of its four options, and call the verb."""
        connection = Connection(**{each.name: given.pop(each.name) for each in shared})
        return verb(connection, **given)  # type: ignore[call-arg]  # Typer passes all by name

    parameters = [*own, *shared]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command
