"""A decorated task keeps the parameters of its function, and the type of what it returns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, assert_type

from epm_task import Task, TaskContext, TaskSettings, task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from typing import Any


class ScannerSettings(TaskSettings, plugin="KeyScanner"):
    """Settings of a plugin."""

    max_bytes: int = 65_536


@task
def hello(*, name: str = "world") -> dict[str, str]:
    """Greet NAME."""
    return {"greeting": f"Hello {name}"}


@task(job_id="key-scanner", every_minutes=60, events=["Startup"], timeout_seconds=600)
def key_scanner(
    ctx: TaskContext, settings: ScannerSettings, *, root: Path, suffix: str = ".pem"
) -> dict[str, int]:
    """Count the files below ROOT."""
    ctx.log.info("scan_finished", suffix=suffix)
    return {"found": len(list(root.iterdir())) * settings.max_bytes}


@task()
async def probe(*, count: int = 1) -> None:
    """Do nothing COUNT times."""


def keeps_types(ctx: TaskContext) -> None:
    """A call of the task is a call of the function."""
    assert_type(hello(), dict[str, str])
    assert_type(hello(name="you"), dict[str, str])
    assert_type(key_scanner(ctx, ScannerSettings(), root=Path()), dict[str, int])
    assert_type(key_scanner(ctx, settings=ScannerSettings(), root=Path()), dict[str, int])
    assert_type(ScannerSettings().max_bytes, int)
    assert_type(ScannerSettings.from_document({}), ScannerSettings)


async def keeps_items(ctx: TaskContext, rows: AsyncIterator[bytes]) -> None:
    """What is tracked has the type of its items."""
    for item in ctx.track([Path()], "scanning"):
        assert_type(item, Path)
    async for row in ctx.track(rows, "reading", total=3):
        assert_type(row, bytes)
    ctx.progress(1, None, "scanning")


async def keeps_coroutines() -> None:
    """The task of a coroutine function is awaited."""
    waiting: Coroutine[Any, Any, None] = probe(count=2)
    await waiting


def is_a_task() -> Task[..., object]:
    """The decorated function is a Task, whatever its parameters."""
    return key_scanner


def refuses(ctx: TaskContext) -> None:
    """A wrong call is an error of the type checker."""
    hello("you")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    hello(name=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    hello(nmae="you")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    key_scanner(root=Path())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    key_scanner(ctx, ScannerSettings(), root="/")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    hello().split()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def refuses_declarations() -> None:
    """A wrong declaration is one too."""
    task(priority="high")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    task(colour="red")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    task(broker="maybe")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
