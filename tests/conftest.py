"""What all tests have: their order and marks, workers, a time zone."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings
from peers.wine import WINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Schedules are in the machine's local time, and tests of them know which that is.
os.environ["TZ"] = "UTC"
if hasattr(time, "tzset"):
    time.tzset()
else:  # Windows' C library has looked at it already
    ctypes.CDLL("ucrtbase")._tzset()

# Hundreds of processes import the package: compiled, as where it is installed.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A busy machine takes long for any example; CI looks at more of them.
settings.register_profile(
    "patient",
    deadline=None,
    max_examples=100 if os.environ.get("CI") else 30,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")

pytest_plugins = ["pytester"]

TESTS: Final = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the test files be shared by several runs side by side."""
    parser.addoption(
        "--share", default="1/1", metavar="N/M", help="run the N-th of M shares of the test files"
    )


def _share_of(config: pytest.Config) -> tuple[int, int]:
    number, shares = config.option.share.split("/")
    return int(number), int(shares)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return three workers for each processor: the tests wait for half of their time.

    Two under Wine, which has work of its own.
    """
    return max(1, (2 if WINE else 3) * (os.cpu_count() or 1) // _share_of(config)[1])


#: The files that take longest: begun first, so that none is left at the end.
LONG: Final = (
    "freeze/test_built.py",
    "test_docs.py",
    "cli/deploy/test_kill.py",
    "cli/test_run.py",
    "cli/test_freeze.py",
    "runtime/test_guarantee_load.py",
    "freeze/test_built_zip.py",
    "runtime/test_guarantee.py",
    "templates/test_task_template.py",
    "admin/doctor/test_check_binary.py",
    "freeze/test_verifying.py",
    "freeze/test_program_workers.py",
    "test_benchmarks.py",
    "test_tutorial.py",
)

#: `pytest -m smoke`: each part of the package once, in seconds.
SMOKE: Final = frozenset(
    {
        "cli/deploy/test_deploy.py",
        "cli/jobs/test_jobs.py",
        "freeze/test_program.py",
        "job/test_job.py",
        "runtime/test_spine.py",
        "simulator/test_embedded.py",
        "test_examples.py",
        "test_floors.py",
        "test_frozen_interfaces.py",
        "test_public_names.py",
    }
)

#: Coverage takes 0.13 s of each process that it measures. Theirs reach no line that others do not,
#: or must not load its modules, nor wait for its lock.
UNMEASURED: Final = (
    "cli/deploy/test_kill.py",
    "cli/test_freeze.py",
    "freeze/",
    "runtime/test_guarantee_load.py",
    "runtime/test_signals.py",
    "simulator/test_crash.py",
    "templates/",
    "test_benchmarks.py",
    "test_docs.py",
    "test_end_to_end.py",
    "test_shadows.py",
    "test_tutorial.py",
)


def _name(path: Path) -> str:
    return path.relative_to(TESTS).as_posix()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what is no smoke test, when only those are wanted."""
    if config.option.markexpr != "smoke" or collection_path.suffix != ".py":
        return None
    return (_name(collection_path) not in SMOKE) or None


#: Markers with a reason, where what is tested cannot be had, and what stands before the reason.
EXCUSES: Final = {
    "posix": (os.name != "posix", "POSIX only"),
    "wine_differs": (WINE, "Wine differs"),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the smoke tests and what this system cannot do, and put the long files first."""
    for item in items:
        if _name(item.path) in SMOKE:
            item.add_marker("smoke")
        for marker in item.iter_markers():
            if marker.name in EXCUSES:
                (reason,) = marker.args
                here, title = EXCUSES[marker.name]
                item.add_marker(pytest.mark.skipif(here, reason=f"{title}: {reason}"))
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(_name(item.path), len(LONG)))
    number, shares = _share_of(config)
    files = list(dict.fromkeys(item.path for item in items))
    mine = set(files[number - 1 :: shares])
    config.hook.pytest_deselected(items=[item for item in items if item.path not in mine])
    items[:] = [item for item in items if item.path in mine]


@pytest.fixture(scope="module", autouse=True)
def _unmeasured_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if _name(request.path).startswith(UNMEASURED):
            for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
                patch.delenv(name, raising=False)
        yield


@pytest.fixture
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the time zone of this process, spelled as POSIX has it: rules and all, without a file."""
    if os.name != "posix":
        yield _only_utc
        return

    def use(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()


def _only_utc(zone: str) -> None:
    """Leave the zone that the tests have: the C library of Windows reads no rules."""
    if zone != "UTC":
        pytest.skip(f"{EXCUSES['posix'][1]}: TZ has rules")
