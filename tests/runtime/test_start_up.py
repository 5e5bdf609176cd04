"""Tests of a faster start: what is left out, put off, and put back."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import subprocess
import sys
import threading
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import PATIENCE
from peers.task_process import unmeasured

from epm_task.runtime import start_up
from epm_task.runtime.start_up import collector_paused, slim_import

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Plant a package that imports one module which it can do without, and one at its top."""
    folder = tmp_path / "planted_user"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "try:\n    import planted_optional\nexcept ImportError:\n    planted_optional = None\n"
        "import planted_late, planted_late.below\n"
        "def value():\n    return planted_late.VALUE\n"
    )
    (tmp_path / "planted_optional.py").touch()
    (tmp_path / "planted_late").mkdir()
    (tmp_path / "planted_late" / "__init__.py").write_text("VALUE = 1\n")
    (tmp_path / "planted_late" / "below.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(start_up.OPTIONAL, "planted_user", ("planted_optional",))
    monkeypatch.setitem(start_up.PUT_OFF, "planted_user", ("planted_late",))
    yield lambda: importlib.import_module("planted_user")
    for name in [name for name in sys.modules if name.startswith("planted_")]:
        del sys.modules[name]


def _drop_submodule(tmp_path: Path) -> None:
    init = tmp_path / "planted_user" / "__init__.py"
    init.write_text(init.read_text().replace(", planted_late.below", ""))


def test_module_is_left_out(user: Callable[[], Any]) -> None:
    """In the block the module seems not to be installed; afterwards it is."""
    with slim_import("planted_user"):
        assert not gc.isenabled()
        found = user()
    assert found.planted_optional is None
    assert importlib.import_module("planted_optional")


def test_module_is_left_out_whoever_would_find_it(
    user: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An executable has a finder of its own before all others."""
    monkeypatch.setattr(sys, "meta_path", [PathFinder, *sys.meta_path])
    with slim_import("planted_user"):
        assert user().planted_optional is None


def test_module_is_put_off(user: Callable[[], Any], tmp_path: Path) -> None:
    """A module that is put off is imported when one of its names is used, not before."""
    _drop_submodule(tmp_path)
    with slim_import("planted_user"):
        found = user()
    assert "planted_late" not in sys.modules
    with pytest.raises(AttributeError):
        found.planted_late.__file__  # noqa: B018  # a question of the import system loads nothing
    assert "planted_late" not in sys.modules
    assert found.value() == 1
    assert "planted_late" in sys.modules
    with pytest.raises(AttributeError):
        found.planted_late.MISSING  # noqa: B018  # looking it up is the point


def test_module_whose_submodule_is_imported_is_loaded(user: Callable[[], Any]) -> None:
    """A stand-in has no submodules, so the real module takes its place at once."""
    with slim_import("planted_user"):
        found = user()
    assert "planted_late.below" in sys.modules
    assert sys.modules["planted_late"].VALUE == found.value() == 1


def test_name_that_is_used_in_the_block_is_real(user: Callable[[], Any], tmp_path: Path) -> None:
    """A module that needs a name at once gets it, and the real module stays."""
    _drop_submodule(tmp_path)
    with slim_import("planted_user"):
        assert user().value() == 1
    assert sys.modules["planted_late"].VALUE == 1


def test_loaded_module_is_left_alone(user: Callable[[], Any]) -> None:
    """What is in use already stays in use."""
    late = importlib.import_module("planted_late")
    optional = importlib.import_module("planted_optional")
    with slim_import("planted_user"):
        found = user()
    assert (found.planted_late, found.planted_optional) == (late, optional)
    assert sys.modules["planted_late"] is late


def test_other_thread_imports_as_usual(user: Callable[[], Any]) -> None:
    """Only the thread in the block does without a module; another one gets all of both."""
    found: list[object] = []

    def other() -> None:
        found.append(importlib.import_module("planted_optional").__name__)
        found.append(importlib.import_module("planted_late").VALUE)

    with slim_import("planted_user"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        user()
    assert found == ["planted_optional", 1]


def test_nothing_is_left_after_an_error(tmp_path: Path, user: Callable[[], Any]) -> None:
    """An import that fails leaves no stand-in, no hook and no paused collector behind."""
    (tmp_path / "planted_user" / "__init__.py").write_text("import planted_missing\n")
    hooks = list(sys.meta_path)
    with pytest.raises(ModuleNotFoundError), slim_import("planted_user"):
        user()
    assert "planted_late" not in sys.modules
    assert (sys.meta_path, gc.isenabled()) == (hooks, True)


def test_paused_collector_stays_as_its_owner_wants_it() -> None:
    """A collector that was off before the block is off after it, and no object is left frozen."""
    with collector_paused():
        pass
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)
    gc.disable()
    try:
        with collector_paused(), collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("package", sorted({*start_up.OPTIONAL, *start_up.NEVER_RUN}))
def test_list_is_of_packages_that_we_import(package: str) -> None:
    """No list is of a package that nobody installs with us."""
    assert importlib.util.find_spec(package)


def test_rich_can_be_imported_after_the_log() -> None:
    """A task that brings rich, click or asyncio itself gets the whole of them."""
    program = (
        "import epm_task.runtime.log.log, epm_task.runtime.settings, sys\n"
        "import epm_task.runtime.agent.transport\n"
        "assert not {'rich', 'click', 'asyncio'} & sys.modules.keys()\n"
        "import asyncio, click, rich, rich.console\n"
        "async def main(): return 7\n"
        "print(asyncio.run(main()), rich.console.Console.__name__, click.command.__name__)\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert printed.stdout.split() == ["7", "Console", "command"]


def test_what_is_put_off_for_settings_works_when_it_is_used(tmp_path: Path) -> None:
    """pydantic-settings reads a `.env` and a command line of the author's all the same."""
    (tmp_path / "own.env").write_text("DEPTH=3\n")
    program = (
        "import epm_task.runtime.settings, sys\n"
        f"assert not {set(start_up.PUT_OFF['pydantic_settings'])!r} & sys.modules.keys()\n"
        "from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict\n"
        "class Own(BaseSettings):\n"
        "    model_config = SettingsConfigDict(env_file='own.env')\n"
        "    depth: int = 1\n"
        "print(Own().depth, CliApp.run(Own, ['--depth', '4']).depth)\n"
        "import csv, gettext, locale, shutil, dotenv, tokenize\n"
        "print(csv.reader(['a,b']).__next__(), gettext.gettext('x'), shutil.which('x-y-z'))\n"
        "CliApp.run(Own, ['--wrong'])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=unmeasured(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert ended.stdout.splitlines() == ["3 4", "['a', 'b'] x None"], ended.stderr
    assert "unrecognized arguments: --wrong" in ended.stderr
