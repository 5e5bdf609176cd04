"""Tests of slim imports: what is left out, put off, and put back."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from epm_task.runtime.slim_import import slim_import

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Plant two modules, and forget all planted ones at the end."""
    (tmp_path / "planted_a.py").write_text("VALUE = 1\n")
    (tmp_path / "planted_user.py").write_text(
        "try:\n    import planted_a\nexcept ImportError:\n    planted_a = None\n"
        "def value():\n    return planted_a.VALUE\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("planted_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("modules")
def test_module_is_left_out() -> None:
    """In the block the module seems not to be installed; afterwards it is."""
    with slim_import(without=("planted_a",)):
        user = importlib.import_module("planted_user")
    assert user.planted_a is None
    assert importlib.import_module("planted_a").VALUE == 1


@pytest.mark.usefixtures("modules")
def test_module_is_put_off() -> None:
    """A deferred module is imported when one of its names is used, not before."""
    with slim_import(deferred=("planted_a",)):
        user = importlib.import_module("planted_user")
    assert "planted_a" not in sys.modules
    assert user.value() == 1
    assert "planted_a" in sys.modules
    with pytest.raises(AttributeError):
        user.planted_a.MISSING  # noqa: B018  # looking it up is the point
    with pytest.raises(AttributeError):
        user.planted_a.__path__  # noqa: B018  # a look of the import system imports nothing


@pytest.mark.usefixtures("modules")
def test_loaded_module_is_left_alone() -> None:
    """What is in use already stays in use."""
    loaded = importlib.import_module("planted_a")
    with slim_import(without=("planted_a",), deferred=("json",)):
        assert importlib.import_module("planted_a") is loaded
        assert importlib.import_module("json") is sys.modules["json"]
    assert sys.modules["planted_a"] is loaded


@pytest.mark.usefixtures("modules")
def test_real_module_that_came_in_the_block_stays() -> None:
    """When a name was used in the block already, the real module is kept."""
    with slim_import(deferred=("planted_a",)):
        user = importlib.import_module("planted_user")
        del sys.modules["planted_a"]
        real = importlib.import_module("planted_a")
    assert sys.modules["planted_a"] is real
    assert user.value() == 1


@pytest.mark.usefixtures("modules")
def test_everything_is_put_back_after_an_error() -> None:
    """An import that fails leaves no stand-in behind."""
    with (
        pytest.raises(ModuleNotFoundError),
        slim_import(without=("planted_a",), deferred=("planted_b",)),
    ):
        importlib.import_module("planted_missing")
    assert not {"planted_a", "planted_b"} & sys.modules.keys()


def test_rich_can_be_imported_after_the_log() -> None:
    """A task that brings rich, click or asyncio itself gets the whole of them."""
    program = (
        "import epm_task.runtime.log.log, epm_task.runtime.agent.transport, sys\n"
        "assert not {'rich', 'click', 'asyncio'} & sys.modules.keys()\n"
        "import asyncio, click, rich, rich.console\n"
        "async def main(): return 7\n"
        "print(asyncio.run(main()), rich.console.Console.__name__, click.command.__name__)\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert printed.stdout.split() == ["7", "Console", "command"]


def test_coroutine_methods_of_structlog_work_after_all() -> None:
    """What structlog needs asyncio for gets it when it is used."""
    program = (
        "import epm_task.runtime.log.log, structlog\n"
        "print(structlog.stdlib.asyncio.get_running_loop.__name__)\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert printed.stdout.split() == ["get_running_loop"], printed.stderr
