"""Make a function a task: the decorator, and the plain function with a `main` that it returns."""

from __future__ import annotations

import functools
import sys
from importlib import import_module
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
from epm_task.runtime.declaration import Declaration, check_declaration, check_schedule
from epm_task.runtime.handler import Handler
from epm_task.runtime.invocation import helps_multiprocessing, process_arguments, started_by_agent
from epm_task.runtime.streams import StandardStreams, loading_the_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from epm_task.contract.levels import Threshold
    from epm_task.contract.names import ExecutionType, OsName
    from epm_task.contract.topic import Topic
    from epm_task.runtime.parameter import Parameter

#: A module whose name begins so is imported to see its tasks, not to run one.
LOOKED_AT: Final = "_epm_task_file_"


class _Breakpoint:
    """What `breakpoint()` calls in a task: it fetches a terminal, and then is Python's own hook.

    As a property it leaves no frame: a debugger stops in the one that called the hook.
    """

    @property
    def __call__(self) -> Callable[..., object]:
        from epm_task.runtime.debugger import prepare  # noqa: PLC0415  # rare

        prepare()
        return sys.__breakpointhook__


def _reserve_streams() -> StandardStreams:
    if "pydevd" in sys.modules:  # an editor has started this process, with debugpy
        from epm_task.runtime.debugger import attached  # noqa: PLC0415  # rare

        attached()
    elif sys.breakpointhook is sys.__breakpointhook__:
        sys.breakpointhook = _Breakpoint()
    return StandardStreams()


# A task's module may print long before it calls `main`. Nothing happens in any other program.
_EARLY_STREAMS: Final = (
    _reserve_streams() if started_by_agent(process_arguments()) and loading_the_program() else None
)

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
        function: Callable[P, R_co] = handler.function
        self.handler = handler
        self.name: str = handler.name
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
        """The file that holds the function."""
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
        if LOOKED_AT in self.handler.source.__module__:
            raise DefinitionError(
                f"{self.file} calls main() when it is imported",
                fix='write `if __name__ == "__main__":` above that line',
            )
        if helps_multiprocessing(process_arguments()):
            # Here, as what it calls is defined now. By name: a build must not take it along.
            import_module("multiprocessing.spawn").freeze_support()
        try:
            from epm_task.runtime.program import main  # noqa: PLC0415  # only a program needs it
        except Exception as error:
            from epm_task.shadows import raise_shadow  # noqa: PLC0415  # a failure only

            raise_shadow(error)
            raise
        main(
            {name: (task.handler, task.declaration) for name, task in self.siblings().items()},
            process_arguments() if argv is None else list(argv),
            _EARLY_STREAMS or _reserve_streams(),
        )


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    job_id: str | None = None,
    job_name: str | None = None,
    every_minutes: float | None = None,
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
    spread_minutes: float | None = None,
    overlap: Literal["allow", "skip", "wait"] = "allow",
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **declared: Any) -> Any:
    """Make a function a task of the agent; with or without arguments.

    Args:
        function: The handler, when the decorator has no parentheses.
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
    described = (function.__doc__ or "").strip()
    try:
        values = {
            **declared,
            "job_id": declared.get("job_id") or name,
            "job_name": declared.get("job_name") or name.replace("-", " ").capitalize(),
            "description": described.partition("\n")[0].rstrip(),
            **{name: _listed(name, declared.get(name, ())) for name in _LISTS},
        }
        check_job_id(values["job_id"])
        _check_names(values)
        declaration = Declaration(**values)
        check_declaration(declaration)
        if not started_by_agent(process_arguments()):  # a task process has no use for it
            check_schedule(declaration)
    except (InvocationError, TypeError, ValueError) as error:
        code = handler.source.__code__
        raise DefinitionError(
            f"{code.co_filename}:{code.co_firstlineno}: @task of {function.__name__}",
            getattr(error, "what", str(error)),
            getattr(error, "fix", "correct what is given to @task"),
        ) from None
    return Task(handler, declaration)


def _check_names(values: Mapping[str, Any]) -> None:
    for name in values:
        if name not in Declaration._fields:
            from difflib import get_close_matches  # noqa: PLC0415  # a mistake only

            known = [field for field in Declaration._fields if field != "description"]
            near = get_close_matches(name, known, 1) or [k for k in known if name in k][:1]
            meant = f"is {near[0]} meant?" if near else f"it takes {', '.join(known)}"
            raise ValueError(f"@task takes no argument {name}: {meant}")


def _listed(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):  # a sequence too, to Python and to type checkers
        raise ValueError(f"{name} must be a list: {name}=[{value!r}]")
    return tuple(value)
