"""Read the author's function once: what is injected, what the agent passes; and call it."""

from __future__ import annotations

import re
import sys
import typing
from pathlib import Path
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.errors import DefinitionError
from epm_task.runtime.context import TaskContext
from epm_task.runtime.invocation import TAKEN_OPTIONS
from epm_task.runtime.parameter import REQUIRED, Parameter, make_parameter
from epm_task.runtime.stop import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from epm_task.runtime.agent.client import AgentClient, Registration
    from epm_task.runtime.settings import TaskSettings
    from epm_task.runtime.stop import Stop

#: Names whose option and whose token in the job, `--max-bytes={MaxBytes}`, are regular.
_NAME: Final = "[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*_?"

# `inspect` says all this too, and costs a twentieth of a start. These are its CO_… flags.
_ARGUMENTS, _KEYWORDS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x08, 0x20, 0x80, 0x200


class Handler:
    """The author's function with its injections and parameters.

    Its annotations may use *local_names*, those that are visible where it is defined.

    Raises:
        DefinitionError: The signature cannot work; the message holds the line to change.
    """

    def __init__(self, function: Callable[..., Any], local_names: Mapping[str, Any]) -> None:
        if not isinstance(function, FunctionType):
            raise DefinitionError(
                f"a handler is a function, and {function!r:.80} is none",
                fix="write `@task` or `@task(name=value)` above `def` or `async def`",
            )
        self.function = function
        #: What other decorators wrap: it knows the author's file and names.
        self.source: FunctionType = function
        while (wrapped := getattr(self.source, "__wrapped__", None)) is not None:
            self.source = wrapped
        flags = self.source.__code__.co_flags
        self.is_async: bool = bool(flags & _COROUTINE)
        if flags & (_GENERATOR | _ASYNC_GENERATOR):
            raise self._refusal("a handler returns once", "replace `yield`")
        hints = self._hints(dict(local_names))
        self.injections: dict[str, type] = {}
        self.parameters: tuple[Parameter, ...] = ()
        for name, default, by_name in self._entries():
            self._add(name, hints.get(name, REQUIRED), default, by_name=by_name)
        self._check_options()

    @property
    def name(self) -> str:
        """The function's name with hyphens."""
        return self.function.__name__.replace("_", "-")

    @property
    def file(self) -> Path:
        """The file that holds the function."""
        return Path(self.source.__code__.co_filename)

    @property
    def settings_type(self) -> type[TaskSettings] | None:
        """The settings model that the handler asks for, or None."""
        return next((kind for kind in self.injections.values() if _is_settings(kind)), None)

    @property
    def state_type(self) -> type | None:
        """The model of the state that the handler asks for, or None."""
        return next((kind for kind in self.injections.values() if _role(kind) == "state"), None)

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
        injected = [
            context
            if kind is TaskContext
            else settings
            if _is_settings(kind)
            else context.state.typed(kind)
            for kind in self.injections.values()
        ]
        result = self.function(*injected, **arguments)
        # Another decorator may have awaited it, or not know that it is a coroutine.
        return _run_coroutine(result, stop) if isinstance(result, CoroutineType) else result

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

    def _entries(self) -> Iterator[tuple[str, Any, bool]]:
        """Yield name and default of each parameter, and whether it is passed by name only."""
        if hasattr(self.function, "__signature__"):  # of another decorator's making
            import inspect  # noqa: PLC0415  # see above

            for entry in inspect.signature(self.function).parameters.values():
                default = REQUIRED if entry.default is entry.empty else entry.default
                yield entry.name, default, entry.kind is entry.KEYWORD_ONLY
            return
        function, code = self.source, self.source.__code__
        count, total = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames
        if code.co_flags & (_ARGUMENTS | _KEYWORDS):
            star = "*" if code.co_flags & _ARGUMENTS else "**"
            raise self._refusal(
                f"{star}{names[total]} takes what nobody declared", "name each parameter after `*,`"
            )
        defaults = function.__defaults__ or ()
        required = (REQUIRED,) * (count - len(defaults))
        for name, default in zip(names, (*required, *defaults), strict=False):
            yield name, default, False
        for name in names[count:total]:
            yield name, (function.__kwdefaults__ or {}).get(name, REQUIRED), True

    def _add(self, name: str, annotation: Any, default: Any, *, by_name: bool) -> None:
        injectable = annotation is TaskContext or _is_settings(annotation)
        if not by_name and _is_state(annotation):
            self._check_state(name, annotation)
            injectable = True
        if by_name and injectable:
            raise self._refusal(
                f"`{name}` comes after the `*`, where the agent passes text",
                f"write `{name}: {annotation.__name__}` before the `*`",
            )
        if by_name:
            self.parameters += (make_parameter(name, annotation, default),)
        elif injectable:
            self._inject(name, annotation)
        elif annotation is REQUIRED and default is REQUIRED:
            raise self._refusal(
                f"`{name}` has no type, by which the runtime would know what to inject",
                f"write `{name}: TaskContext`, or its TaskSettings; or `*, {name}: str` if the "
                "agent passes it",
            )
        else:
            written = self._written(name, default)
            raise self._refusal(
                f"`{written}` comes before the `*`, and the runtime injects only TaskContext, "
                "TaskSettings and the state, a pydantic model, there",
                f"write `*, {written}` so that the agent passes it by name",
            )

    def _written(self, name: str, default: Any) -> str:
        annotation = self.source.__annotations__.get(name)
        kind = f": {getattr(annotation, '__name__', annotation)}" if annotation else ""
        return f"{name}{kind}" if default is REQUIRED else f"{name}{kind} = {default!r}"

    def _inject(self, name: str, kind: type) -> None:
        if _role(kind) in map(_role, self.injections.values()):
            raise self._refusal(f"`{name}` asks for a second {kind.__name__}", f"remove `{name}`")
        self.injections[name] = kind

    def _check_state(self, name: str, kind: Any) -> None:
        version = getattr(kind, "state_version", 1)
        required = [field for field, facts in kind.model_fields.items() if facts.is_required()]
        if required:
            why = f"there is none before the first run, and {', '.join(required)} has no default"
        elif type(version) is not int or version < 1:
            why = f"its state_version is {version!r}, and must be a whole number from 1 on"
        elif version > 1 and not callable(getattr(kind, "migrate", None)):
            why = f"state_version {version} needs `migrate(cls, values, version)`, a class method"
        else:
            return
        raise self._refusal(f"`{name}: {kind.__name__}` cannot be the state: {why}", "add it")

    def _check_options(self) -> None:
        taken = dict.fromkeys(TAKEN_OPTIONS, "an argument of the runtime")
        for parameter in self.parameters:
            if not re.fullmatch(_NAME, parameter.name):
                raise self._refusal(
                    f"`{parameter.name}` cannot be an option: it needs ASCII letters and digits, "
                    "with single underscores between",
                    f"rename `{parameter.name}`",
                )
            self._check_text(parameter)
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

    def _check_text(self, parameter: Parameter) -> None:
        try:
            parameter.check([other.token for other in self.parameters])
        except ValueError as error:
            raise self._refusal(
                f"`{parameter.name}` cannot be passed by an agent: {error}",
                f"give `{parameter.name}` another type or default; None can always be one",
            ) from None

    def _refusal(self, why: str, fix: str) -> DefinitionError:
        code = self.source.__code__
        where = f"{code.co_filename}:{code.co_firstlineno}: {self.function.__name__}"
        return DefinitionError(where, why, fix)


def _is_settings(annotation: Any) -> bool:
    # Whoever annotates with a settings model has imported it; nobody else pays for pydantic.
    module = sys.modules.get("epm_task.runtime.settings")
    return (
        module is not None
        and isinstance(annotation, type)
        and issubclass(annotation, module.TaskSettings)
    )


def _is_state(annotation: Any) -> bool:
    # As above; settings that are not the agent's would be read from the environment.
    module = sys.modules.get("pydantic.main")
    return (
        module is not None
        and isinstance(annotation, type)
        and issubclass(annotation, module.BaseModel)
        and not any(base.__module__.startswith("pydantic_settings") for base in annotation.__mro__)
    )


def _role(kind: type) -> str:
    if kind is TaskContext:
        return "context"
    return "settings" if _is_settings(kind) else "state"


def _run_coroutine(coroutine: Any, stop: Stop) -> object:
    import asyncio  # noqa: PLC0415  # 20 ms that only a coroutine function pays

    async def main() -> object:
        """Await the handler, and cancel it when it is interrupted."""
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
