"""The log that an author writes records with; structlog, `logging` and `warnings` join it."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from epm_task.contract import levels as level
from epm_task.runtime.log.encoder import exception_properties, safe_text
from epm_task.runtime.start_up import slim_import
from epm_task.runtime.stop import SHIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from epm_task.runtime.log.encoder import RecordEncoder
    from epm_task.runtime.log.libraries import StructlogJoined


class Sink:
    """Where the records of one run go, from the encoder into the pipe."""

    def __init__(self, encoder: RecordEncoder, accept: Callable[[int, bytes], None]) -> None:
        self._encoder: Final = encoder
        self._accept: Final = accept
        #: The threads that an exception ended, each by its name.
        self.thread_errors: list[tuple[str, BaseException]] = []
        #: Returns the fields that structlog's users have bound to the current context.
        self.bound: Callable[[], dict[str, Any]] | None = None

    def write(
        self, number: int, message: object, properties: dict[str, Any], source: str | None = None
    ) -> None:
        """Write one record."""
        with SHIELD:  # a record that has a number is accepted
            self._accept(number, self._encoder.encode(number, message, properties, source=source))
        if SHIELD.waiting is not None:
            SHIELD.let_through()


class Log:
    """Writes records: `ctx.log.info("scan_finished", found=3)`.

    The first argument is the message, a short constant text; all else is a field. A call never
    raises, whatever it is given, and blocks for at most a second. `bind(key=value)` returns a log
    that adds fields to every record. structlog takes it for a bound logger of its own.
    """

    #: Below it, records are not made.
    minimum = 0

    def __init__(
        self,
        logger: Sink,
        processors: object,  # noqa: ARG002  # structlog gives them, by name; they change nothing
        context: dict[str, Any],
    ) -> None:
        self._logger = logger
        self._context = context

    def bind(self, **fields: Any) -> Self:
        """Return a log that adds *fields* to every record."""
        return self.new(**{**self._context, **fields})

    def unbind(self, *names: str) -> Self:
        """Return a log that no longer adds the fields *names*; KeyError for one it does not add."""
        for name in names:
            self._context[name]
        return self.try_unbind(*names)

    def try_unbind(self, *names: str) -> Self:
        """Return a log that does not add the fields *names*."""
        return self.new(**{key: value for key, value in self._context.items() if key not in names})

    def new(self, **fields: Any) -> Self:
        """Return a log that adds *fields* and no others."""
        return type(self)(self._logger, (), fields)

    def trace(self, message: object = "", /, *args: object, **fields: Any) -> None:
        """Write a record of the level Trace."""
        self._record(level.TRACE, message, args, fields)

    def debug(self, message: object = "", /, *args: object, **fields: Any) -> None:
        """Write a record of the level Debug."""
        self._record(level.DEBUG, message, args, fields)

    def info(self, message: object = "", /, *args: object, **fields: Any) -> None:
        """Write a record of the level Information."""
        self._record(level.INFORMATION, message, args, fields)

    def warning(self, message: object = "", /, *args: object, **fields: Any) -> None:
        """Write a record of the level Warning; on stderr too before the call returns."""
        self._record(level.WARNING, message, args, fields)

    def error(self, message: object = "", /, *args: object, **fields: Any) -> None:
        """Write a record of the level Error."""
        self._record(level.ERROR, message, args, fields)

    def exception(self, message: object = "", /, *args: object, **fields: Any) -> None:
        """Write a record of the level Error with the exception that is being handled."""
        self._record(level.ERROR, message, args, {"exc_info": True, **fields})

    def critical(self, message: object = "", /, *args: object, **fields: Any) -> None:
        """Write a record of the level Critical."""
        self._record(level.CRITICAL, message, args, fields)

    def log(self, number: object, message: object = "", /, *args: object, **fields: Any) -> None:
        """Write a record of a level of `logging`, such as 30 for Warning."""
        if not isinstance(number, int):
            number = level.NUMBERS.get(safe_text(number).lower(), level.INFORMATION)
        if number >= self.minimum:
            self._record(number, message, args, fields)

    # Other names that libraries know from structlog.
    msg: Callable[..., None] = info
    warn: Callable[..., None] = warning
    fatal: Callable[..., None] = critical

    def _record(
        self, number: int, message: object, args: tuple[object, ...], fields: dict[str, Any]
    ) -> None:
        properties = {**self._context, **fields} if self._context else fields
        if self._logger.bound is not None:
            properties = {**self._logger.bound(), **properties}
        if args:
            message, properties = _format(message, args, properties)
        if "exc_info" in properties or "stack_info" in properties:
            properties = _with_traces(properties)
        self._logger.write(number, message, properties)


def make_log(sink: Sink, minimum: int) -> Log:
    """Return the log of a run; methods below *minimum* do nothing at all, in less than 0.3 us."""
    quiet = {
        name: _nothing
        for name, number in (
            ("trace", level.TRACE),
            ("debug", level.DEBUG),
            ("info", level.INFORMATION),
            ("warning", level.WARNING),
            ("error", level.ERROR),
            ("exception", level.ERROR),
            ("critical", level.CRITICAL),
            ("msg", level.INFORMATION),
            ("warn", level.WARNING),
            ("fatal", level.CRITICAL),
        )
        if number < minimum
    }
    kind: type[Log] = type("Log", (Log,), {**quiet, "minimum": minimum})
    return kind(sink, (), {})


@contextmanager
def joined(log: Log, sink: Sink, minimum: int) -> Iterator[None]:
    """Let structlog, `logging`, `warnings` and other threads' exceptions write to *sink*.

    Libraries that configure `logging` cannot take the records away: they are taken where a logger
    hands them to its handlers. All but structlog are put back at the end of the block.
    """
    watch = _StructlogWatch(type(log), sink)
    watch.begin()
    root = logging.getLogger()
    standard = _StandardLogging(sink, minimum)
    before = root.level, threading.excepthook, sys.unraisablehook, logging.raiseExceptions
    root.addHandler(standard)
    root.setLevel(minimum)
    # A line for every request to the agent would drown the author's own records.
    logging.getLogger("httpx").setLevel(max(minimum + 1, level.INFORMATION))
    logging.captureWarnings(capture=True)
    threading.excepthook = lambda hook: _thread_error(sink, hook)
    sys.unraisablehook = lambda hook: _unraisable(sink, hook)
    logging.raiseExceptions = False
    standard.begin()
    try:
        yield
    finally:
        standard.end()
        watch.end()
        root.removeHandler(standard)
        logging.captureWarnings(capture=False)
        root.setLevel(before[0])
        _, threading.excepthook, sys.unraisablehook, logging.raiseExceptions = before


class _StructlogWatch:
    """Configures structlog, now or when somebody imports it: most tasks need not load it."""

    def __init__(self, kind: type[Log], sink: Sink) -> None:
        self._kind = kind
        self._sink = sink
        self._joined: StructlogJoined | None = None

    def begin(self) -> None:
        """Configure it, or watch for its import."""
        structlog = sys.modules.get("structlog")
        if structlog is not None:
            self._configure(structlog)
        else:
            sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Watch no longer; say so when structlog was configured anew."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        if self._joined is not None:
            self._joined.end(self._sink)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find structlog with the other finders, and configure it once it is loaded."""
        if name != "structlog":
            return None
        self.end()
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            self._wrap(spec.loader)
        return spec

    def _wrap(self, loader: Any) -> None:
        def exec_module(module: ModuleType) -> None:
            """Load structlog without what a task never uses, and configure it."""
            del loader.exec_module  # it may load other modules, too
            with slim_import("structlog"):
                loader.exec_module(module)
            self._configure(module)

        loader.exec_module = exec_module

    def _configure(self, structlog: Any) -> None:
        from epm_task.runtime.log.libraries import StructlogJoined  # noqa: PLC0415  # few do

        self._joined = StructlogJoined(structlog, self._kind, self._sink)


class _StandardLogging(logging.NullHandler):
    """Turns the standard library's log records into ours, before any handler sees them.

    As a handler of the root logger it does nothing but be there: without one, `logging` would make
    its own. Whoever configures `logging` anew closes it.
    """

    def __init__(self, sink: Sink, minimum: int) -> None:
        super().__init__()
        self._sink = sink
        self._minimum = minimum
        self._put_back = ExitStack()
        #: The function that configured `logging` during the run, and where it was called.
        self._configured_by = ""
        self._over = False

    def begin(self) -> None:
        """Take the records of all loggers, those that do not propagate too."""
        standard: Any = logging.Logger
        hand_out = standard.callHandlers

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            """Take the record, and let the other handlers have it."""
            self._take(logger, record)
            hand_out(logger, record)

        def put_back() -> None:
            """Undo it, unless somebody has replaced ours in turn."""
            if standard.callHandlers is call_handlers:
                standard.callHandlers = hand_out

        standard.callHandlers = call_handlers
        self._put_back.callback(put_back)

    def end(self) -> None:
        """Take no more; say so when some were kept from us."""
        self._over = True
        self._put_back.close()
        root = logging.getLogger()
        threshold = max(root.level, root.manager.disable + 1)
        loggers = root.manager.loggerDict.items()
        disabled = [name for name, logger in loggers if getattr(logger, "disabled", False)]
        if threshold > self._minimum or disabled:
            from epm_task.runtime.log.libraries import missing  # noqa: PLC0415  # rare

            number, facts = missing(threshold, self._minimum, disabled, self._configured_by)
            self._sink.write(number, "logging_records_missing", facts)

    def close(self) -> None:
        """Note who configures `logging`; its loggers stay enabled."""
        super().close()
        caller = sys._getframe(1)  # noqa: SLF001  # the documented way
        above = caller.f_back and caller.f_back.f_globals.get("__name__")
        ends = caller.f_code.co_name == "shutdown" and above != "logging.config"
        if not (ends or self._over or self._configured_by):
            from epm_task.runtime.log.libraries import configured_by, keep_enabled  # noqa: PLC0415

            self._configured_by = configured_by(caller)
            self._put_back.callback(keep_enabled(sys.modules.get("logging.config")))

    def _take(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno < self._minimum and self._configured_by and not _has_level(logger):
            return  # whoever configured `logging` has lowered the level of all
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  # arguments that do not fit the format
            message = safe_text(record.msg)
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD_FIELDS}
        if record.exc_info and record.exc_info[1] is not None:
            extra.update(exception_properties(record.exc_info[1]))
        elif record.exc_text:  # it comes from another process, or from a queue
            extra["exception"] = record.exc_text
        if record.stack_info:
            extra["stack"] = record.stack_info
        self._sink.write(record.levelno, message.rstrip("\n"), extra, source=record.name)


def _has_level(logger: logging.Logger) -> bool:
    """Return whether the logger, or one between it and the root, has a level of its own."""
    at: logging.Logger | None = logger
    while at is not None and at.parent is not None:
        if at.level:
            return True
        at = at.parent
    return False


#: The attributes that every LogRecord has; what is left came with `extra=`.
_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def _nothing(_self: Log, _message: object = "", /, *_args: object, **_fields: Any) -> None:
    """Stand for a method whose level is filtered out."""


def _format(
    message: object, args: tuple[object, ...], fields: dict[str, Any]
) -> tuple[object, dict[str, Any]]:
    # As in `logging`: one mapping fills named places.
    given = args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args
    try:
        return str(message) % given, fields
    except Exception:  # noqa: BLE001  # a stray % or an argument that cannot be shown
        return message, {**fields, "args": list(args)}


def _with_traces(fields: dict[str, Any]) -> dict[str, Any]:
    fields = dict(fields)
    info = fields.pop("exc_info", None)
    if isinstance(info, tuple) and len(info) == 3:
        info = info[1]
    elif isinstance(info, bool | int | str) and info:  # any other object's truth may raise
        info = sys.exc_info()[1]
    if isinstance(info, BaseException):
        fields.update(exception_properties(info))
    shown = fields.pop("stack_info", None)
    if isinstance(shown, int) and shown:
        # Without this function, `_record`, and the method that was called.
        fields["stack"] = "".join(traceback.format_stack(sys._getframe(3)))  # noqa: SLF001
    return fields


def _thread_error(sink: Sink, hook: threading.ExceptHookArgs) -> None:
    error = hook.exc_value
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return
    name = hook.thread.name if hook.thread else "a thread"
    sink.thread_errors.append((name, error))
    properties = {"thread": name, **exception_properties(error)}
    sink.write(level.ERROR, "thread_crashed", properties)


def _unraisable(sink: Sink, hook: sys.UnraisableHookArgs) -> None:
    error = hook.exc_value if hook.exc_value is not None else hook.exc_type()
    properties = {"where": safe_text(hook.object), **exception_properties(error)}
    sink.write(level.WARNING, hook.err_msg or "exception_ignored", properties)
