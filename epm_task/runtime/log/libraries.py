"""Get on with libraries that log by structlog, or that configure `logging` during a run.

Loaded when there is one; most tasks have none.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract import levels as level

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, ModuleType

#: A record names no more loggers that are disabled.
_MOST_NAMES: Final = 20

#: The methods that structlog has a second time, as coroutines with an `a` before the name.
_WITH_COROUTINE: Final = (
    *("debug", "info", "warning", "warn", "error", "exception", "critical", "fatal"),
    *("log", "msg"),
)


class StructlogJoined:
    """structlog, configured so that its loggers are logs of the class *log_class*.

    Args:
        structlog: The module, which is loaded.
        log_class: The class of the run's log.
        sink: Where the records go; from now on it adds what `bind_contextvars` has bound.
    """

    def __init__(self, structlog: Any, log_class: type, sink: Any) -> None:
        self._structlog: Final = structlog
        names = {f"a{name}": _coroutine(name) for name in _WITH_COROUTINE}
        self._class: Final = type("Log", (_Questions, log_class), names)
        sink.bound = structlog.contextvars.get_contextvars
        structlog.configure(
            wrapper_class=self._class,
            processors=[],
            context_class=dict,
            logger_factory=lambda *_args: sink,
            cache_logger_on_first_use=True,
        )

    def end(self, sink: Any) -> None:
        """Write a warning when structlog was configured anew, and not for `logging`."""
        sink.bound = None
        given = self._structlog.get_config()
        factory = given["logger_factory"]
        name = getattr(factory, "__qualname__", type(factory).__qualname__)
        if given["wrapper_class"] is self._class or name == "LoggerFactory":
            return
        sink.write(
            level.WARNING,
            "structlog_records_missing",
            {
                "why": f"structlog was configured during the run, with {name}",
                "effect": "what it writes since then goes where that configuration sends it",
                "fix": "leave structlog.configure out: the runtime has configured it",
            },
        )


class _Questions:
    """What structlog's users ask a logger, by the names of structlog and of `logging`."""

    minimum: int

    def is_enabled_for(self, number: int) -> bool:
        """Return whether records of this level are written."""
        return number >= self.minimum

    def get_effective_level(self) -> int:
        """Return the lowest level that is written."""
        return self.minimum

    isEnabledFor, getEffectiveLevel = is_enabled_for, get_effective_level  # noqa: N815


def _coroutine(name: str) -> Any:
    async def method(self: Any, *args: Any, **fields: Any) -> None:
        """Write the record at once."""
        getattr(self, name)(*args, **fields)

    return method


def configured_by(frame: FrameType) -> str:
    """Return which function of `logging` was called, and where, for the *frame* of one of them."""
    function = frame.f_code.co_name
    while frame.f_back and frame.f_globals.get("__name__") in {"logging", "logging.config"}:
        frame, function = frame.f_back, frame.f_code.co_name
    return f"{function}, {frame.f_code.co_filename}:{frame.f_lineno}"


def keep_enabled(config: ModuleType | None) -> Callable[[], object]:
    """Let *config*, `logging.config`, disable no loggers; return the function that ends this.

    By default it disables every logger that it does not know, the author's among them.
    """
    name = "_handle_existing_loggers"  # of both `dictConfig` and `fileConfig`
    handle: Any = getattr(config, name, None)
    if handle is None:
        return lambda: None
    setattr(config, name, lambda existing, children, _disable: handle(existing, children, False))
    return lambda: setattr(config, name, handle)


def missing(
    threshold: int, minimum: int, disabled: Sequence[str], by: str
) -> tuple[int, dict[str, str]]:
    """Return level and fields of a record about those that were never made.

    Args:
        threshold: The level below which `logging` makes none.
        minimum: The level below which none were wanted.
        disabled: Names of loggers that make none at all.
        by: Who has configured `logging`, if known.
    """
    facts = {"by": by} if by else {}
    if disabled:
        facts["disabled"] = ", ".join(sorted(disabled)[:_MOST_NAMES])
        facts["fix"] = "configure logging with disable_existing_loggers=False"
    if threshold > minimum:
        facts["below"] = logging.getLevelName(threshold)
    # As serious as what is missing.
    return level.WARNING if disabled else min(threshold - 1, level.WARNING), facts
