"""Tests of programs that PyInstaller really built: what they hold, and how they behave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from freeze.building import EXAMPLES, BuildFolder, executable, run_cli
from simulator.task_files import in_a_package

from epm_task.freeze.installed import check_install, passed, read_installed
from epm_task.freeze.sandbox import system_environment
from epm_task.freeze.unused import UNUSED
from epm_task.freeze.verifying import verify
from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.slow

#: `/etc`, the folder that the key scanner takes without an argument, is on POSIX only.
ARGUMENTS = {"hello": [], "scanner": [f"--root={EXAMPLES}"]}
UNASKED = {"stop"} if sys.platform == "win32" else set()
#: What a program for an endpoint must never hold.
TOOLS = (
    *("typer", "click", "rich", "pygments", "pytest", "_pytest", "cryptography"),
    *("setuptools", "pkg_resources", "hypothesis", "mypy", "cyclonedx", "PyInstaller", "psutil"),
    *("httpcore", "h11", "anyio", "certifi", "socks", "unittest", "tkinter"),
    *("epm_task.cli", "epm_task.simulator", "epm_task.freeze", "epm_task.job", "epm_task.admin"),
)


@pytest.fixture(scope="module")
def hello(builds: BuildFolder) -> Path:
    """`Jobs/bin/Hello`: no settings model."""
    return builds.frozen("hello") / "bin" / "Hello"


@pytest.fixture(scope="module")
def scanner(builds: BuildFolder) -> Path:
    """`Jobs/bin/KeyScanner`: with a settings model."""
    return builds.frozen("key_scanner") / "bin" / "KeyScanner"


def modules_in(program: Path) -> set[str]:
    """Return the modules of a program: those that lie beside it, and those in its archives."""
    from PyInstaller.archive.readers import CArchiveReader

    outer = CArchiveReader(str(program))
    found = set(outer.toc)
    for name in [name for name in outer.toc if name.startswith("PYZ")]:
        found |= set(outer.open_embedded_archive(name).toc)
    folder = program.parent / "_internal"
    for path in folder.rglob("*.pyc"):
        parts = path.relative_to(folder).with_suffix("").parts
        found.add(".".join(part for part in parts if part != "__init__"))
    return found


def size(folder: Path) -> int:
    """Return the size of all files, in bytes."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def start(
    program: Path, *words: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Start a program by hand, with nothing in its environment but what every service has."""
    return subprocess.run(
        [program, *words],
        env={**system_environment(program.parent), **(env or {})},
        cwd=program.anchor,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("name", ["hello", "scanner"])
def test_it_holds_the_runtime_and_no_tool(name: str, request: pytest.FixtureRequest) -> None:
    """Floors 0 and 1, and the libraries that run."""
    place: Path = request.getfixturevalue(name)
    inside = modules_in(executable(place))
    assert {"epm_task.runtime.spine", "epm_task.runtime.selftest", "paho.mqtt.client"} <= inside
    unwanted = [
        one for one in inside if one.startswith(tuple(f"{t}." for t in TOOLS)) or one in TOOLS
    ]
    assert unwanted == []
    assert ("pydantic" in inside) == ("pydantic_settings" in inside) == (name == "scanner")
    assert "asyncio" not in inside or name == "scanner"
    libraries = set(json.loads((place / "manifest.json").read_text("utf-8"))["libraries"])
    assert {"epm-task", "httpx", "paho-mqtt"} <= libraries
    assert libraries & {"rich", "typer", "h11", "anyio"} == set()


def test_it_is_small(hello: Path) -> None:
    """The goal: 22 MB without a settings model."""
    assert size(hello) <= 22_000_000


def test_the_layout_is_the_agents(hello: Path) -> None:
    """The job document beside it, rights as they must be, nothing that was made on the way."""
    jobs = hello.parents[1]
    assert sorted(path.name for path in jobs.iterdir()) == ["bin", "hello.json"]
    assert [path.name for path in hello.parent.iterdir()] == ["Hello"]
    document = json.loads((jobs / "hello.json").read_text("utf-8"))
    assert document["tasks"][0]["command"] == "Hello"
    assert passed(check_install(read_installed(hello)))


@pytest.mark.posix("modes are")
def test_the_modes_are_those_of_an_endpoint(hello: Path) -> None:
    """Whatever the umask of the build was."""
    modes = {path: path.stat().st_mode & 0o777 for path in (hello, *hello.rglob("*"))}
    assert modes[executable(hello)] == modes[hello] == modes[hello / "_internal"] == 0o755
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o755, 0o644}


@pytest.mark.parametrize("name", ["hello", "scanner"])
def test_it_is_verified(name: str, request: pytest.FixtureRequest) -> None:
    """PID, registration, records, stdout, exit code, stop, no file written."""
    checks = verify(read_installed(request.getfixturevalue(name)), arguments=ARGUMENTS[name])
    assert passed(checks), checks
    # Windows asks a program to stop through a console, and tests may have none.
    assert {check.name for check in checks if check.state == "skipped"} <= UNASKED


def test_two_builds_are_the_same(hello: Path, tmp_path: Path) -> None:
    """From another folder, into another folder: every file has the same digest."""
    source = tmp_path / "ein Ördner" / "hello.py"
    source.parent.mkdir()
    shutil.copy(EXAMPLES / "hello.py", source)
    run_cli("freeze", source, "-o", tmp_path / "out")
    manifests = [
        json.loads((folder / "manifest.json").read_text("utf-8"))
        for folder in (hello, tmp_path / "out" / "Jobs" / "bin" / "Hello")
    ]
    assert manifests[0]["files"] == manifests[1]["files"]


@pytest.fixture(scope="module")
def packaged(builds: BuildFolder) -> Path:
    """`Jobs/bin/Count`: a module of a package, in a project with a version."""

    def build(place: Path) -> None:
        (place / "pyproject.toml").write_text('[project]\nversion = "1.20.3rc4"\n')
        path = in_a_package(place, "from ..other import N", "pack/inner", ())
        run_cli("freeze", path, "-o", place)

    return builds.once("packaged", build) / "Jobs" / "bin" / "Count"


def test_a_task_of_a_package(packaged: Path) -> None:
    """Its relative imports work in the executable, also from a package without `__init__.py`."""
    with Agent() as agent:
        run = agent.run(executable(packaged))
    assert run.result == {"n": 3}, run.stderr


@pytest.mark.skipif(sys.platform != "win32", reason="executables of Windows have resources")
def test_windows_shows_name_and_version(packaged: Path) -> None:
    """As the properties of the file; it is a console program that asks for no more rights."""
    import pefile

    with pefile.PE(str(executable(packaged))) as image:
        (fixed,) = image.VS_FIXEDFILEINFO
        assert (fixed.FileVersionMS, fixed.FileVersionLS) == (1 << 16 | 20, 3 << 16 | 4)
        (texts,) = [
            table.entries
            for (found,) in [image.FileInfo]
            for kind in found
            for table in getattr(kind, "StringTable", ())
        ]
        assert texts == {
            b"FileDescription": b"Count",
            b"InternalName": b"Count",
            b"OriginalFilename": b"Count.exe",
            b"ProductName": b"Count",
            b"FileVersion": b"1.20.3rc4",
            b"ProductVersion": b"1.20.3rc4",
        }
        assert (
            image.OPTIONAL_HEADER.Subsystem == pefile.SUBSYSTEM_TYPE["IMAGE_SUBSYSTEM_WINDOWS_CUI"]
        )
    assert b'level="asInvoker"' in executable(packaged).read_bytes()


def test_started_by_hand_it_says_so(hello: Path) -> None:
    """Exit code and sentence are those of the source."""
    done = start(executable(hello))
    assert done.returncode != 0
    assert "epm-task run" in done.stderr
    assert "Traceback" not in done.stderr
    assert start(executable(hello), "--help").stdout.startswith("usage: ")


def test_its_self_test_sees_a_change(scanner: Path, tmp_path: Path) -> None:
    """A copy passes, with pydantic; with one byte more in a library it fails."""
    copy = tmp_path / "KeyScanner"
    shutil.copytree(scanner, copy, symlinks=True)
    done = start(executable(copy), "--selftest")
    assert (done.returncode, done.stderr) == (0, "")
    assert "pydantic-settings" in done.stdout
    changed = next(copy.rglob("libssl*"))
    with changed.open("ab") as library:
        library.write(b"\0")
    done = start(executable(copy), "--selftest")
    assert done.returncode == 1
    assert changed.name in done.stdout


def test_hostile_surroundings_have_no_effect(hello: Path, tmp_path: Path) -> None:
    """Variables for Python, a planted module, and a path with blanks and other alphabets."""
    place = tmp_path / "ein Ördner 任务" / "Hello"
    shutil.copytree(hello, place, symlinks=True)
    for name in ("json.py", "httpx.py", "sitecustomize.py", "libz.so.1"):
        (tmp_path / name).write_text("raise SystemExit('planted')")
    hostile = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONHOME": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "json.py"),
        "LC_ALL": "C",
    }
    with Agent() as agent:
        plain = agent.run(executable(place), cwd=tmp_path, env=hostile, arguments=["--name=ü"])
    assert plain.result == {"greeting": "Hello ü"}, plain.stderr
    assert passed(verify(read_installed(place)))


@pytest.mark.posix("no variable names folders of libraries")
def test_a_planted_library_stops_it(hello: Path, tmp_path: Path) -> None:
    """The loader obeys LD_LIBRARY_PATH before any of our code runs: a limit that the docs state."""
    (tmp_path / "libz.so.1").write_text("no library")
    done = start(hello / "Hello", "--selftest", env={"LD_LIBRARY_PATH": str(tmp_path)})
    assert "planted" not in done.stdout
    assert done.returncode in {0, 127, 255}


@pytest.mark.posix("a path has 260 characters, but where the system was set to take more")
def test_a_very_long_path(hello: Path, tmp_path: Path) -> None:
    """A program deep below other folders starts as any other."""
    deep = tmp_path.joinpath(*["d" * 200] * 10)
    deep.mkdir(parents=True)
    shutil.copytree(hello, deep / "Hello", symlinks=True)
    assert start(executable(deep / "Hello"), "--selftest").returncode == 0


@pytest.fixture(scope="module")
def plain_builds(builds: BuildFolder) -> Path:
    """The same task, built by plain PyInstaller with our hook: one folder, and one file."""

    def build(place: Path) -> None:
        common = ["--noconfirm", "--log-level=WARN", "--distpath", str(place / "dist")]
        hooks = ["--additional-hooks-dir", str(EXAMPLES.parent / "epm_task" / "freeze" / "hooks")]
        for layout in ("--onedir", "--onefile"):
            name = "OneDir" if layout == "--onedir" else "OneFile"
            work = str(place / name)
            words = [layout, "--name", name, "--workpath", work, "--specpath", work]
            subprocess.run(
                [
                    *(sys.executable, "-m", "PyInstaller", *common, *hooks, *words),
                    str(EXAMPLES / "hello.py"),
                ],
                env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
                check=True,
                capture_output=True,
            )

    return builds.once("plain", build) / "dist"


@pytest.mark.wine_differs("its table names no process that accepts connections")
def test_plain_pyinstaller_works(plain_builds: Path) -> None:
    """The registered hook knows the late imports, and cuts what never runs.

    Not what pydantic drags in: PyInstaller's own hook for it may come after ours.
    """
    folder = plain_builds / "OneDir"
    checks = verify(read_installed(folder))
    assert passed(checks), checks
    inside = modules_in(executable(folder))
    never = {*UNUSED["httpx"], *UNUSED["structlog"], *UNUSED["paho"]}
    assert inside & never <= {"asyncio", "typing_extensions"}  # pydantic needs them


def test_a_one_file_build_is_refused(plain_builds: Path) -> None:
    """By `verify`, with the PID reason, and by itself, with 78."""
    program = plain_builds / executable(plain_builds / "OneFile").name
    checks = {check.name: check for check in verify(read_installed(program))}
    assert checks["process"].state == "failed"
    assert "a child of the launched process" in checks["process"].detail
    assert "one folder" in checks["process"].detail
    done = start(program, "--keeper-api-base=https://127.0.0.1:1", "--registration-timeout=0")
    assert done.returncode == 78
    assert "one-file executable" in done.stderr
