"""A handler is the author's function, read once: what is injected, what the agent passes."""

from __future__ import annotations

import gc
import inspect
import re
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.errors import DefinitionError
from epm_task.runtime.context import TaskContext
from epm_task.runtime.invocation import RESERVED_OPTIONS
from epm_task.runtime.parameter import Parameter, make_parameter
from epm_task.runtime.stop import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FunctionType

    from epm_task.runtime.agent.client import AgentClient, Registration
    from epm_task.runtime.settings import TaskSettings
    from epm_task.runtime.stop import Stop

#: Names whose option and whose token in the job, `--max-bytes={MaxBytes}`, are regular.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*_?", re.ASCII)


class Handler:
    """The author's function with its injections and parameters.

    Args:
        function: A function or coroutine function.
        local_names: Names visible where the function is defined, for its annotations.

    Raises:
        DefinitionError: The signature cannot work; the message holds the line to change.
    """

    def __init__(self, function: Callable[..., Any], local_names: Mapping[str, Any]) -> None:
        """Read the signature."""
        if not inspect.isfunction(function):
            raise DefinitionError(
                f"a handler is a function, and {function!r:.80} is none; "
                "write `@task` or `@task(name=value)` above `def` or `async def`"
            )
        self.function = function
        #: What other decorators wrap: it knows the author's file and names.
        self.source: FunctionType = inspect.unwrap(function)
        self.is_async = inspect.iscoroutinefunction(self.source)
        if inspect.isgeneratorfunction(self.source) or inspect.isasyncgenfunction(self.source):
            raise self._refusal("a handler returns once", "replace `yield`")
        hints = self._hints(dict(local_names))
        self.injections: dict[str, type] = {}
        self.parameters: tuple[Parameter, ...] = ()
        for entry in inspect.signature(function).parameters.values():
            self._add(entry, hints.get(entry.name, inspect.Parameter.empty))
        self._check_options()

    @property
    def file(self) -> Path:
        """The file in which the function stands."""
        return Path(self.source.__code__.co_filename)

    @property
    def settings_type(self) -> type[TaskSettings] | None:
        """The settings model that the handler asks for, or None."""
        return next((kind for kind in self.injections.values() if kind is not TaskContext), None)

    def read_settings(self, agent: AgentClient, registration: Registration) -> TaskSettings | None:
        """Return the settings that the function asks for, or None.

        Raises:
            SettingsError: A key is missing or its value invalid.
            AgentError: The agent does not know the plugin, or did not answer.
        """
        kind = self.settings_type
        if kind is None:
            return None
        if kind.plugin_id == SYSTEM_PLUGIN:
            return kind.from_document(registration.settings)
        return kind.from_document(agent.settings(kind.plugin_id))

    def call(
        self,
        context: TaskContext,
        settings: TaskSettings | None,
        arguments: Mapping[str, Any],
        stop: Stop,
    ) -> object:
        """Call the function in this thread and return its result."""
        gc.enable()
        injected = [
            context if kind is TaskContext else settings for kind in self.injections.values()
        ]
        result = self.function(*injected, **arguments)
        # Another decorator may have awaited it, or not know that it is a coroutine.
        return _run_coroutine(result, stop) if inspect.iscoroutine(result) else result

    def _hints(self, local_names: dict[str, Any]) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self.function, localns=local_names, include_extras=True)
        except NameError as error:
            raise self._refusal(
                f"the type {error.name!r} is not known when the program runs",
                f"import {error.name} outside of `if TYPE_CHECKING:`",
            ) from None
        except (AttributeError, SyntaxError, TypeError) as error:
            raise self._refusal(f"a type cannot be read: {error}", "correct it") from None

    def _add(self, entry: inspect.Parameter, annotation: Any) -> None:
        if entry.kind in {entry.VAR_POSITIONAL, entry.VAR_KEYWORD}:
            raise self._refusal(
                f"{entry} takes what nobody declared", "name each parameter after `*,`"
            )
        injectable = annotation is TaskContext or _is_settings(annotation)
        if entry.kind is entry.KEYWORD_ONLY:
            if injectable:
                raise self._refusal(
                    f"`{entry.name}` stands after the `*`, where the agent passes text",
                    f"write `{entry.name}: {annotation.__name__}` before the `*`",
                )
            self.parameters += (make_parameter(entry.name, annotation, entry.default),)
        elif injectable:
            self._inject(entry.name, annotation)
        else:
            raise self._refusal(
                f"`{entry}` stands before the `*`, and the runtime injects only TaskContext and "
                "TaskSettings there",
                f"write `*, {entry}` so that the agent passes it by name",
            )

    def _inject(self, name: str, kind: type) -> None:
        if (kind is TaskContext) in [known is TaskContext for known in self.injections.values()]:
            raise self._refusal(f"`{name}` asks for a second {kind.__name__}", f"remove `{name}`")
        self.injections[name] = kind

    def _check_options(self) -> None:
        taken = dict.fromkeys(RESERVED_OPTIONS, "an argument of the runtime")
        for parameter in self.parameters:
            if not _NAME.fullmatch(parameter.name):
                raise self._refusal(
                    f"`{parameter.name}` cannot be an option: it needs ASCII letters and digits, "
                    "with single underscores between",
                    f"rename `{parameter.name}`",
                )
            options = [parameter.option, f"{{{parameter.token}}} in the job"]
            if parameter.flag:
                options.append(f"--no-{parameter.option[2:]}")
            for option in options:
                if option in taken:
                    raise self._refusal(
                        f"`{parameter.name}` would be {option}, which is {taken[option]}",
                        f"rename `{parameter.name}`",
                    )
                taken[option] = f"the option of `{parameter.name}`"

    def _refusal(self, why: str, fix: str) -> DefinitionError:
        code = self.source.__code__
        return DefinitionError(
            f"{code.co_filename}:{code.co_firstlineno}: {self.function.__name__}: {why}; {fix}"
        )


def _is_settings(annotation: Any) -> bool:
    # Whoever annotates with a settings model has imported it; nobody else pays for pydantic.
    module = sys.modules.get("epm_task.runtime.settings")
    return (
        module is not None
        and isinstance(annotation, type)
        and issubclass(annotation, module.TaskSettings)
    )


def _run_coroutine(coroutine: Any, stop: Stop) -> object:
    import asyncio  # noqa: PLC0415  # 20 ms that only a coroutine function pays

    async def main() -> object:
        loop = asyncio.get_running_loop()
        running = loop.create_task(coroutine)
        with stop.interrupting_with(lambda: loop.call_soon_threadsafe(running.cancel)):
            return await running

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        if stop.exit_code is None:  # the handler's own doing
            raise
        raise Stopped from None
