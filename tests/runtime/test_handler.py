"""Tests of a handler: a signature is read once, and a wrong one fails where it stands."""

from __future__ import annotations

import asyncio
import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from pydantic import SecretStr  # noqa: TC002  # read by the handler
from runtime.trusting import trusting_context

from epm_task.errors import DefinitionError
from epm_task.exit_code import ExitCode
from epm_task.runtime.agent.client import AgentClient, Registration
from epm_task.runtime.context import TaskContext
from epm_task.runtime.handler import Handler
from epm_task.runtime.settings import TaskSettings
from epm_task.runtime.stop import Stop, Stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from decimal import Decimal


class Scanner(TaskSettings, plugin="KeyScanner"):
    """Settings of one plugin."""

    depth: int = 1


class Other(TaskSettings):
    """Settings of the system."""

    port: int = 0


def _positional(root: Path) -> None: ...
def _after_context(ctx: TaskContext, root: Path = Path()) -> None: ...
def _several(*roots: Path) -> None: ...
def _anything(**options: str) -> None: ...
def _deadline(*, deadline: float) -> None: ...
def _help(*, help: str) -> None: ...  # noqa: A002
def _selftest(*, selftest: bool) -> None: ...
def _no_form(*, verify: bool, no_verify: str = "") -> None: ...
def _no_form_first(*, no_verify: str = "", verify: bool) -> None: ...
def _token(*, token_file: Path, token: SecretStr) -> None: ...
def _unknown(*, amount: Decimal) -> None: ...
def _contexts(ctx: TaskContext, more: TaskContext) -> None: ...
def _models(one: Scanner, two: Other) -> None: ...
def _untyped(ctx) -> None: ...  # type: ignore[no-untyped-def]
def _private(*, _root: str) -> None: ...
def _umlaut(*, größe: str) -> None: ...  # noqa: PLC2401
def _same_token(*, scan_root: str, scanRoot: str) -> None: ...  # noqa: N803
def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


def _no_such_name(*, root: inspect.Nothing) -> None: ...  # type: ignore[name-defined]
def _no_expression(*, root: "1 +") -> None: ...  # type: ignore # noqa: F722, PGH003
def _by_name(*, ctx: TaskContext) -> None: ...
def _model_by_name(*, settings: Scanner) -> None: ...


WRONG: list[tuple[Callable[..., Any], str, str]] = [
    (_positional, "`root: Path` comes before the `*`", "write `*, root: Path`"),
    (_after_context, "comes before the `*`", "write `*, root: Path = "),
    (_several, "*roots", "name each parameter after `*,`"),
    (_anything, "**options", "name each parameter after `*,`"),
    (_deadline, "--deadline, which is an argument of the runtime", "rename `deadline`"),
    (_help, "--help, which is an argument of the runtime", "rename `help`"),
    (_selftest, "--selftest, which is an argument of the runtime", "rename `selftest`"),
    (_no_form, "--no-verify, which is the option of `verify`", "rename `no_verify`"),
    (_no_form_first, "--no-verify, which is the option of `no_verify`", "rename `verify`"),
    (_token, "--token-file, which is the option of `token_file`", "rename `token`"),
    (_unknown, "'Decimal' is not known when the program runs", "import Decimal outside of"),
    (_contexts, "`more` asks for a second TaskContext", "remove `more`"),
    (_models, "`two` asks for a second Other", "remove `two`"),
    (_private, "`_root` cannot be an option", "rename `_root`"),
    (_umlaut, "`größe` cannot be an option", "rename `größe`"),
    (_same_token, "{ScanRoot} in the job, which is the option of", "rename `scanRoot`"),
    (_generator, "a handler returns once", "replace `yield`"),
    (_async_generator, "a handler returns once", "replace `yield`"),
    (_no_such_name, "a type cannot be read: ", "correct it"),
    (_no_expression, "a type cannot be read: ", "correct it"),
    (_untyped, "`ctx` has no type", "write `ctx: TaskContext`"),
    (_by_name, "`ctx` comes after the `*`", "write `ctx: TaskContext` before the `*`"),
    (_model_by_name, "`settings` comes after the `*`", "`settings: Scanner` before"),
]


@pytest.mark.parametrize(
    ("function", "why", "fix"), WRONG, ids=lambda v: getattr(v, "__name__", "")
)
def test_wrong_signature_is_refused(function: Callable[..., Any], why: str, fix: str) -> None:
    """The error begins with file and line, then says what is wrong and what to write."""
    with pytest.raises(DefinitionError) as refused:
        Handler(function, {})
    text = str(refused.value)
    line = inspect.getsourcelines(function)[1]
    assert text.startswith(f"{__file__}:{line}: {function.__name__}: ")
    assert why in text
    assert fix in text


def test_parameters_keep_their_order_and_defaults() -> None:
    """What comes after the `*` is what the agent passes."""

    def scan(*, root: Path, suffix: str = ".pem", depth: int | None, names: list[str]) -> None: ...

    found = Handler(scan, {}).parameters
    assert [p.option for p in found] == ["--root", "--suffix", "--depth", "--names"]
    assert [p.required for p in found] == [True, False, False, True]
    assert found[3].repeated


def test_local_types_are_found() -> None:
    """A type that is defined in the same function as the handler can be used."""

    class Local(TaskSettings):
        """Settings."""

    def scan(settings: Local) -> None: ...

    assert Handler(scan, locals()).settings_type is Local
    with pytest.raises(DefinitionError, match="'Local' is not known"):
        Handler(scan, {})


def _context_first(ctx: TaskContext, settings: Scanner, *, root: str) -> tuple[Any, ...]:
    return ctx, settings, root


def _settings_first(settings: Scanner, ctx: TaskContext, /, *, root: str) -> tuple[Any, ...]:
    return ctx, settings, root


async def _coroutine(ctx: TaskContext, settings: Scanner, *, root: str) -> tuple[Any, ...]:
    return ctx, settings, root


def _stop() -> Stop:
    # Without its signal handlers, which belong to a process of its own.
    stop = object.__new__(Stop)
    stop._interrupt = lambda: None
    stop.exit_code = None
    return stop


@pytest.mark.parametrize("function", [_context_first, _settings_first, _coroutine])
def test_injection_follows_the_signature(function: Callable[..., Any]) -> None:
    """Context and settings arrive where they were asked for, in either order, also awaited."""
    context = object.__new__(TaskContext)
    settings = Scanner()
    handler = Handler(function, {})
    assert handler.is_async is (function is _coroutine)
    found: Any = handler.call(context, settings, {"root": "/a"}, _stop())
    assert found == (context, settings, "/a")


def _decorated_elsewhere(function: Callable[..., Any]) -> Any:
    namespace: dict[str, Any] = {"function": function, "functools": functools}
    code = (
        "@functools.wraps(function)\ndef wrapper(*args, **names): return function(*args, **names)"
    )
    exec(compile(code, "/elsewhere/retry.py", "exec"), namespace)
    return namespace["wrapper"]


@pytest.mark.parametrize("function", [_context_first, _coroutine])
def test_other_decorators_are_seen_through(function: Callable[..., Any]) -> None:
    """Below a decorator of another package the author's file, types and coroutine are found."""
    handler = Handler(_decorated_elsewhere(function), {})
    assert handler.file == Path(__file__)
    assert (handler.settings_type, len(handler.parameters)) == (Scanner, 1)
    assert handler.is_async is (function is _coroutine)
    context, settings = object.__new__(TaskContext), Scanner()
    found: Any = handler.call(context, settings, {"root": "/a"}, _stop())
    assert found == (context, settings, "/a")


def test_signature_of_another_decorator_counts() -> None:
    """A decorator that states a signature of its own is believed."""
    wrapper = _decorated_elsewhere(_context_first)
    wrapper.__signature__ = inspect.signature(_with_one_parameter)
    found = Handler(wrapper, {})
    assert [(p.name, p.required) for p in found.parameters] == [("root", False)]


def _with_one_parameter(*, root: str = "") -> None: ...


def test_nothing_is_injected_unasked() -> None:
    """A handler without context and settings gets neither, and costs no settings model."""
    handler = Handler(lambda: None, {})
    assert (handler.injections, handler.settings_type) == ({}, None)
    assert handler.file == Path(__file__)


@pytest.mark.parametrize(
    ("exit_code", "raised"), [(None, asyncio.CancelledError), (ExitCode.SIGTERM, Stopped)]
)
def test_cancellation_is_told_from_a_stop(exit_code: ExitCode | None, raised: type) -> None:
    """A coroutine that cancels itself fails; one that a stop has cancelled was stopped."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    stop = _stop()
    stop.exit_code = exit_code
    with pytest.raises(raised):
        Handler(cancelled, {}).call(object.__new__(TaskContext), None, {}, stop)


def _with_model(settings: Scanner) -> None: ...
def _with_system(settings: Other) -> None: ...
def _without() -> None: ...


@pytest.mark.parametrize(
    ("function", "found", "paths"),
    [
        (_with_model, Scanner(depth=7), ["/api/PluginSettings/KeyScanner"]),
        (_with_system, Other(port=80), []),
        (_without, None, []),
    ],
)
def test_settings_are_read_when_they_are_asked_for(
    function: Callable[..., Any], found: object, paths: list[str]
) -> None:
    """A plugin's settings cost one request; the system's came with the registration."""
    registration = Registration({"port": "80", "depth": "1"}, 1, 0.1)
    with (
        HttpPeer([answer.ok({"depth": "7"})]) as peer,
        AgentClient(peer.base_url, trusting_context()) as agent,
    ):
        assert Handler(function, {}).read_settings(agent, registration) == found
    assert [request.split()[1].decode() for request in peer.requests] == paths
