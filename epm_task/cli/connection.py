"""The connection options say where the agent is and who calls; every admin verb has them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import typer

from epm_task.admin.settings import AdminSettings, read_admin_settings

P = ParamSpec("P")
R = TypeVar("R")

AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")
]


def _options(
    *,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The agent's API, else EPM_TASK_ADMIN_BASE_URL, else https://127.0.0.1:6889.",
        ),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Client certificate, else EPM_TASK_ADMIN_CERT."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Its private key, else EPM_TASK_ADMIN_KEY, else in the certificate's file.",
        ),
    ] = None,
    cacert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CA of the agent, else EPM_TASK_ADMIN_CACERT, else the port's owner is checked.",
        ),
    ] = None,
) -> AdminSettings:
    """Return what options, environment and pyproject.toml say; an AdminError names the bad one."""
    options = {"base_url": base_url, "cert": cert, "key": key, "cacert": cacert}
    return read_admin_settings(options, os.environ, Path.cwd())


def connected(verb: Callable[Concatenate[AdminSettings, P], R]) -> Callable[..., R]:
    """Give a verb the connection options; what they say becomes its first argument."""
    shared = inspect.signature(_options, eval_str=True).parameters
    own = list(inspect.signature(verb, eval_str=True).parameters.values())[1:]

    @wraps(verb)
    def command(**given: Any) -> R:
        settings = _options(**{name: given.pop(name) for name in shared})
        return verb(settings, **given)  # type: ignore[call-arg]  # Typer passes all by name

    parameters = [*own, *shared.values()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command
