"""A task is a function that the agent can start: the function, its declaration, and `main`."""

from __future__ import annotations

import functools
import gc
import inspect
import os
import sys
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    NoReturn,
    ParamSpec,
    TypeVar,
    overload,
)

from epm_task.contract.client_id import check_job_id
from epm_task.contract.names import SERVICE
from epm_task.errors import DefinitionError, InvocationError
from epm_task.runtime.declaration import Declaration, check_declaration
from epm_task.runtime.handler import Handler
from epm_task.runtime.invocation import task_argument
from epm_task.runtime.streams import StandardStreams, reserved_early

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from epm_task.contract.levels import Threshold
    from epm_task.contract.names import ExecutionType, OsName
    from epm_task.contract.topic import Topic
    from epm_task.runtime.outcome import Outcome
    from epm_task.runtime.parameter import Parameter
    from epm_task.runtime.stop import Stop

#: A module whose name begins so is imported to see its tasks, not to run one.
LOOKED_AT: Final = "_epm_task_file_"

_STREAMS: Final = reserved_early(sys.argv[1:])

_LISTS: Final = ("events", "publishes", "subscribes", "os_filter")

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Task(Generic[P, R_co]):
    """A decorated handler: still the plain function when it is called, a program in `main()`.

    Attributes:
        name: The function's name with hyphens; what `--task` takes.
        declaration: What the author declared in `@task(…)`.
        handler: The function with its injections and parameters.
    """

    def __init__(self, handler: Handler, declaration: Declaration) -> None:
        """Take the name and the docstring of the handler's function."""
        function: Callable[P, R_co] = handler.function
        self.handler = handler
        self.name = function.__name__.replace("_", "-")
        self.declaration = declaration
        self._function = function
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, as if it were not decorated."""
        return self._function(*args, **kwargs)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What the agent passes."""
        return self.handler.parameters

    @property
    def file(self) -> Path:
        """The file in which the function stands."""
        return self.handler.file

    def siblings(self) -> dict[str, Task[..., object]]:
        """Return the tasks in the function's file by name, this one included."""
        names = self.handler.source.__globals__.values()
        found = [value for value in names if isinstance(value, Task)]
        # One that was imported from another file is run there.
        own = {value.name: value for value in found if value.file == self.file}
        return {self.name: self, **own}

    def main(self, argv: Sequence[str] | None = None) -> NoReturn:
        """Run the task as the process that the agent started, and end the process.

        Args:
            argv: Arguments without the program; by default those of the process.
        """
        if self.handler.source.__module__.startswith(LOOKED_AT):
            raise DefinitionError(
                f"{self.file} calls main() when it is imported; "
                'write `if __name__ == "__main__":` above that line'
            )
        # First of all, so that a signal during the imports below ends in an orderly stop.
        from epm_task.runtime.stop import Stop  # noqa: PLC0415

        streams, stop = _STREAMS or StandardStreams(), Stop()
        gc.disable()  # start-up makes no garbage; looking for it costs 5 % of a short run
        from epm_task.runtime.ending import leave  # noqa: PLC0415

        outcome = self._outcome(sys.argv[1:] if argv is None else list(argv), streams, stop)
        outcome.write(streams)
        leave(outcome.exit_code)

    def _outcome(self, argv: Sequence[str], streams: StandardStreams, stop: Stop) -> Outcome:
        from epm_task.runtime.outcome import Outcome  # noqa: PLC0415  # after the signal handlers

        if "--selftest" in argv:
            from epm_task.runtime.selftest import selftest  # noqa: PLC0415  # people only

            return selftest(self.siblings())
        try:
            selected = self._selected(task_argument(argv))
        except InvocationError as error:
            return Outcome.of_error(error)
        if "--help" in argv or "--version" in argv:
            return Outcome(stdout=_information(selected, argv).encode("utf-8", "backslashreplace"))
        from epm_task.runtime import spine  # noqa: PLC0415  # httpx, structlog: 60 ms

        return spine.run(selected, argv, os.environ, streams, stop)

    def _selected(self, name: str | None) -> Task[..., object]:
        siblings = self.siblings()
        if name is None and len(siblings) == 1:
            return self
        if name in siblings:
            return siblings[name]
        names = ", ".join(siblings)
        problem = f"there is no task {name!r}" if name else "--task is missing"
        raise InvocationError(f"{problem}; this file holds {names}: pass --task=NAME")


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    job_id: str | None = None,
    job_name: str | None = None,
    every_minutes: int | None = None,
    cron: str | None = None,
    run_at: str | None = None,
    events: Sequence[str] = (),
    priority: int = 5,
    timeout_seconds: float | None = None,
    publishes: Sequence[Topic[Any]] = (),
    subscribes: Sequence[Topic[Any]] = (),
    event_topic: Topic[Any] | None = None,
    os_filter: Sequence[OsName] = (),
    execution_type: ExecutionType = SERVICE,
    command: str | None = None,
    broker: Literal["required", "optional"] = "required",
    mirror: Threshold = "warning",
    strict_logs: bool = False,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **declared: Any) -> Any:
    """Make a function a task of the agent; with or without arguments.

    Args:
        function: The handler, when the decorator stands without parentheses.
        **declared: The attributes of `Declaration`; unless they are given, `job_id` is the
            function's name with hyphens, and `job_name` the same with blanks.

    Raises:
        DefinitionError: The signature or the declaration cannot work.
    """
    local_names = sys._getframe(1).f_locals  # noqa: SLF001  # for types defined in a function
    if function is not None:
        return _make(function, declared, local_names)
    return lambda decorated: _make(decorated, declared, local_names)


def _make(
    function: Callable[..., Any], declared: dict[str, Any], local_names: Mapping[str, Any]
) -> Task[..., Any]:
    handler = Handler(function, local_names)
    name = function.__name__.replace("_", "-").strip("-")
    described = inspect.getdoc(function) or ""
    try:
        values = {
            **declared,
            "job_id": declared.get("job_id") or name,
            "job_name": declared.get("job_name") or name.replace("-", " ").capitalize(),
            "description": described.partition("\n")[0],
            **{name: _listed(name, declared.get(name, ())) for name in _LISTS},
        }
        check_job_id(values["job_id"])
        declaration = Declaration(**values)
        check_declaration(declaration)
    except (InvocationError, TypeError, ValueError) as error:
        code = handler.source.__code__
        place = f"{code.co_filename}:{code.co_firstlineno}"
        raise DefinitionError(f"{place}: @task of {function.__name__}: {error}") from None
    return Task(handler, declaration)


def _listed(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):  # a sequence too, to Python and to type checkers
        raise ValueError(f"{name} must be a list: {name}=[{value!r}]")
    return tuple(value)


def _information(selected: Task[..., object], argv: Sequence[str]) -> str:
    if "--help" in argv:
        from epm_task.runtime.program import usage  # noqa: PLC0415  # people only

        return usage(sys.argv[0], selected.handler.function.__doc__ or "", selected.parameters)
    from epm_task import __version__  # noqa: PLC0415  # the package imports this module

    python = ".".join(map(str, sys.version_info[:3]))
    return f"{selected.name} (epm-task {__version__}, Python {python})\n"
