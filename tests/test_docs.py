"""The code blocks of README and docs run as they are printed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cli.command_line import loaded
from peers.patience import PATIENCE

from epm_task.job.task_file import read_task_file
from epm_task.simulator.embedded import Agent
from epm_task.simulator.faults.rule import EFFECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(
    r"^(?P<before>[^\n]*)\n+```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_NAMED = re.compile(r"`([\w./-]+)`:$")
_SET_UP = re.compile(r"python3 -m venv|py -3")
#: The ports that the pages print; a test takes free ones.
_PORTS = ("6889", "8675")


class Block(NamedTuple):
    """One code block of a page."""

    page: Path
    line: int
    language: str
    text: str
    before: str

    @property
    def name(self) -> str:
        """Where it stands, for the test's id."""
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str:
        """The file that the line before the block calls it; empty when it has no name."""
        named = _NAMED.search(self.before)
        return named[1] if named else ""


def _blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = [
        Block(
            page,
            text.count("\n", 0, match.start("text")),
            *match.group("language", "text", "before"),
        )
        for match in _BLOCK.finditer(text)
    ]
    kept = [block for block in found if not block.before.startswith("<!-- not run: ")]
    return [block for block in kept if block.language in languages]


def _param(page: Path, block: Block | None = None) -> Any:
    """Return what a test takes of a page; the README's is quick, the others are slow."""
    marks = () if page.name == "README.md" else pytest.mark.slow
    return pytest.param(block or page, marks=marks, id=block.name if block else page.name)


def _all(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in _blocks(page, *languages)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, and programs that behave as after an installation."""
    made = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "examples", made / "examples")
    programs = made / "programs"
    programs.mkdir()
    shims = {  # for the shell
        "epm-task": f'exec "{sys.executable}" -m epm_task.cli "$@"',
        # So that a refusal is an exit code.
        "curl": f'exec "{shutil.which("curl")}" --fail --max-time 10 "$@"',
    }
    for name, line in shims.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    _write_files(made, _all("sh", "json", "toml"))
    return made


def _write_files(folder: Path, blocks: list[Block]) -> None:
    """Write the blocks that the line before them calls a file."""
    for block in blocks:
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            path.chmod(0o755)


def _environment(folder: Path) -> dict[str, str]:
    # As in an environment that is active: `python3` is the interpreter of these tests.
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([str(folder / "programs"), here, os.environ["PATH"]])
    modules = os.pathsep.join([str(folder / "examples"), str(ROOT)])
    return {**os.environ, "PATH": path, "PYTHONPATH": modules}


def _epm_task(folder: Path, *words: str | Path) -> str:
    """Run a verb of the command line as `_run` runs a program."""
    return _run(folder, sys.executable, "-m", "epm_task.cli", *words)


def _run(folder: Path, *command: str | Path, steps: int = 1) -> str:
    """Run a program to its good end; return what it printed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE * steps,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("block", [_param(block.page, block) for block in _all("python")])
def test_python_blocks_run(block: Block, folder: Path, tmp_path: Path) -> None:
    """A task under an agent, a test under pytest, anything else as a program."""
    path = tmp_path / "test_block.py"
    path.write_text(block.text, encoding="utf-8")
    if ".main()" in block.text:
        (task,) = read_task_file(path).tasks.values()
        # Not every system has the folder that the page names.
        folders = {
            one.name: tmp_path for one in task.parameters if one.required or one.base is Path
        }
        with Agent() as agent:
            run = agent.run(task, parameters=folders)
        assert run.exit_code == 0, run.stderr.decode()
        assert not run.denials
    elif "def test_" in block.text:
        installed = importlib.metadata.entry_points(group="pytest11", name="epm_task")
        plugin = [] if installed else ["-p", "epm_task.pytest_plugin"]
        options = [
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
            "-W",
            "error",
            *plugin,
        ]
        _run(folder, sys.executable, "-m", "pytest", *options, path)
    else:
        _run(folder, sys.executable, "-W", "error", path)


def test_the_task_of_the_readme_has_no_finding(tmp_path: Path) -> None:
    """Nor has the document that is made from it."""
    (block,) = (block for block in _blocks(ROOT / "README.md", "python") if ".main()" in block.text)
    path = tmp_path / "key_scanner.py"
    path.write_text(block.text, encoding="utf-8")
    for words in ("job -o Jobs", "job --check", "validate"):
        verb, *options = words.split()
        _epm_task(tmp_path, verb, path, *options)
    _epm_task(tmp_path, "validate", "Jobs")


@pytest.mark.parametrize("language", ["bash", "powershell"])
def test_the_first_run_of_the_readme_finds_something(language: str, folder: Path) -> None:
    """It is the result that the page tells."""
    first, *_ = _blocks(ROOT / "README.md", language)
    line = first.text.replace("\\", "/").partition("epm-task ")[2]
    result = _epm_task(folder, *line.split())
    assert result == '{"found":1}\n'
    assert f"`{result.strip()}`" in (ROOT / "README.md").read_text(encoding="utf-8")


class Shell:
    """Runs the bash blocks of one page, in their order, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._agent: subprocess.Popen[bytes] | None = None
        self._ports = dict(zip(_PORTS, map(str, _free_ports(2)), strict=True))

    def run(self, block: Block) -> None:
        """Run a block to its end; an agent is waited for until it is there, and goes on."""
        text = block.text
        for printed, free in self._ports.items():
            text = text.replace(printed, free)
        if not text.startswith("epm-task agent"):
            _run(self._folder, "bash", "-e", "-c", text, steps=text.count("\n"))
            return
        self._agent = subprocess.Popen(
            ["bash", "-c", f"exec {text}"],
            cwd=self._folder,
            env=_environment(self._folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._agent.stdout is not None
        assert b"base url" in self._agent.stdout.readline()

    def stop(self) -> None:
        """Stop the agent."""
        if self._agent is not None:
            self._agent.terminate()
            assert self._agent.wait(PATIENCE) == 0
            self._agent.communicate()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def shell(folder: Path) -> Iterator[Shell]:
    """A shell whose agent is stopped at the end."""
    made = Shell(folder)
    yield made
    made.stop()


@pytest.mark.posix("the blocks are for a POSIX shell")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("page", [_param(page) for page in PAGES])
def test_bash_blocks_run(page: Path, folder: Path, shell: Shell) -> None:
    """Each command ends well; the set-up lines of README are what .ci/run does."""
    # Two pages may use one name: a pyproject.toml, for example.
    _write_files(folder, _blocks(page, "sh", "json", "toml"))
    for block in _blocks(page, "bash", "powershell"):
        if _SET_UP.search(block.text):
            continue
        assert block.language == "bash", block.name
        assert re.match(r"epm-task |curl ", block.text), block.name
        shell.run(block)
    if page.name == "simulator.md":
        history = folder / "agent" / "Log" / "runs.jsonl"
        _wait_for(lambda: history.read_text("utf-8") != "")
        (run,) = map(json.loads, history.read_text("utf-8").splitlines())
        assert "broker.port" in run["result"]


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_options_of_the_simulator_page_exist() -> None:
    """What is said of `epm-task run`, `agent` and `runs` is in their help."""
    text = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    commands = loaded().commands
    told = [commands["run"], commands["agent"], *commands["runs"].commands.values()]
    known = {option for command in told for one in command.params for option in one.opts}
    foreign = {"--cacert", "--cafile", "--cert", "--key", "--root", "--registration-timeout"}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text)) - known - foreign == set()


def test_the_simulator_page_lists_every_fault() -> None:
    """The message about a wrong word leads there."""
    text = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    words = [*EFFECTS, *(effect for kind in EFFECTS.values() for effect in kind)]
    assert [word for word in words if f"`{word}" not in text] == []
