"""Tests of `epm-task freeze`, `verify` and `verify-install`: what they write, see and refuse."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli.command import environment, line, running
from cli.command_line import epm_task
from freeze.building import EXAMPLES, SEVERAL, program, task_file
from peers.patience import PATIENCE
from peers.task_process import STOP

from epm_task.cli.freeze import before_and_after, data_pair, files_and_tasks
from epm_task.cli.output import Failure

ZIP = ("--backend", "zipapp", "--python", sys.executable)
zipped = pytest.mark.posix("a zip program is started by a shell, which becomes the interpreter")


def left_in(folder: Path) -> list[str]:
    """Return what is in a folder, hidden files included."""
    return sorted(os.listdir(folder)) if folder.exists() else []  # noqa: PTH208 - names only


@pytest.mark.slow
@zipped
def test_a_program_is_built_and_verified(tmp_path: Path) -> None:
    """The table goes to stdout, then the paths; progress on stderr."""
    text = (EXAMPLES / "key_scanner.py").read_text("utf-8").replace(' = Path("/etc")', "")
    # So that 13 starts take more than a second on any machine.
    text = text.replace("    if not root", "    __import__('time').sleep(0.15)\n    if not root")
    output = tmp_path / "out"
    done = epm_task("freeze", task_file(tmp_path, text), "-o", output, *ZIP, "--verify")
    assert done.exit_code == 0, done.out + done.err
    lines = done.out.splitlines()
    assert lines[0].split() == ["check", "state", "what", "was", "seen"]
    assert lines[-1] == str(output / "Jobs" / "key-scanner.json")
    assert "--root=(an empty folder)" in done.out
    assert "start-up" in done.out
    assert done.err.splitlines()[0].startswith("building KeyScanner")
    assert re.search(r"^verifying KeyScanner: \d+%, \d+ of 13, ", done.err, re.MULTILINE)
    assert left_in(output) == ["Jobs"]


@zipped
@pytest.mark.slow
def test_arguments_after_two_hyphens_are_the_tasks(tmp_path: Path) -> None:
    """They are passed as they are; the answer for programs is one JSON object."""
    words = ["--verify", "--json", "--", f"--root={EXAMPLES}", "--suffix=.py"]
    done = epm_task("freeze", EXAMPLES / "key_scanner.py", "-o", tmp_path, *ZIP, *words)
    answer = json.loads(done.out)
    assert (done.exit_code, answer["passed"]) == (0, True), answer
    (built,) = answer["programs"]
    assert built["jobs"] == [str(tmp_path / "Jobs" / "key-scanner.json")]
    assert "arguments" not in [check["name"] for check in built["checks"]]


@zipped
@pytest.mark.slow
def test_a_failed_verification_is_exit_code_1(tmp_path: Path) -> None:
    """The program stays, so that one can look at it."""
    words = ["--verify", "--", "--root=/nowhere"]
    done = epm_task("freeze", EXAMPLES / "key_scanner.py", "-o", tmp_path, *ZIP, *words)
    assert done.exit_code == 1
    assert "/nowhere is not a directory" in done.out
    assert (tmp_path / "Jobs" / "bin" / "KeyScanner").is_dir()


@zipped
@pytest.mark.slow
def test_several_files_and_tasks(tmp_path: Path) -> None:
    """Each command has its folder, each job its document."""
    text = SEVERAL.replace('"nightly-scan"', '"nightly-scan", command="Scan"').replace(
        '"nightly-report"', '"nightly-report", command="Report"'
    )
    path = task_file(tmp_path / "src", text)
    done = epm_task("freeze", f"{path}:scan", EXAMPLES / "hello.py", "-o", tmp_path / "d", *ZIP)
    assert done.exit_code == 0, done.err
    assert left_in(tmp_path / "d" / "Jobs" / "bin") == ["Hello", "Scan"]
    assert left_in(tmp_path / "d" / "Jobs") == ["bin", "hello.json", "nightly-scan.json"]


@zipped
def test_a_project_names_its_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no file has to be given."""
    monkeypatch.chdir(tmp_path)
    done = epm_task("freeze", *ZIP)
    assert done.exit_code == 2
    assert "no file with a task was given" in done.err
    task_file(tmp_path / "src", (EXAMPLES / "hello.py").read_text("utf-8"), "hello.py")
    (tmp_path / "pyproject.toml").write_text('[tool.epm-task]\ntasks = ["src/hello.py"]\n')
    assert epm_task("freeze", *ZIP).exit_code == 0
    assert left_in(tmp_path / "dist" / "Jobs" / "bin" / "Hello") == [
        *("Hello", "Hello.pyz", "manifest.json", "sbom.cdx.json")
    ]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--onefile"], 1, "child of the process that the agent started"),
        (["--backend", "nuitka"], 2, "choose one of pyinstaller, zipapp"),
        (["--sign-command", "codesign"], 1, "{path}"),
        (["--command", "a b"], 1, "cannot be the name of a command"),
        (["--data", "nowhere"], 2, "is not there"),
        (["--start-tolerance", "2"], 2, "give --verify too"),
        (["--data", f"{EXAMPLES}=/etc"], 2, "leads out of the program"),
        (["--include", "no_such_module"], 1, "no module no_such_module"),
    ],
)
def test_wrong_use_is_one_sentence(
    tmp_path: Path, words: list[str], code: int, sentence: str
) -> None:
    """What, why, what to do; and nothing was made."""
    done = epm_task("freeze", EXAMPLES / "hello.py", "-o", tmp_path / "out", *words)
    assert done.exit_code == code
    assert sentence in done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert left_in(tmp_path / "out") == []


@pytest.mark.parametrize(
    "text", ["def broken(:\n# epm_task", "import epm_task\n", "import epm_task, not_there\n"]
)
def test_an_unusable_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    """A syntax error, no task, an import that is missing: exit 1, no output folder."""
    done = epm_task("freeze", task_file(tmp_path, text), "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert len(done.err.splitlines()) == 1
    assert left_in(tmp_path / "out") == []


@pytest.mark.skipif(sys.platform != "linux", reason="PyInstaller calls them on Linux")
def test_missing_binutils_are_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a build of many seconds begins."""
    monkeypatch.setenv("PATH", str(tmp_path))
    done = epm_task("freeze", EXAMPLES / "hello.py", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "binutils" in done.err
    assert left_in(tmp_path / "out") == []


def _no_room() -> None:
    """Let no file grow beyond a quarter MiB, as on a disk that is full at that point."""
    import resource  # POSIX only

    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))


@pytest.mark.posix("limits are POSIX")
@pytest.mark.slow
def test_no_room_leaves_the_earlier_build(tmp_path: Path) -> None:
    """One sentence, exit 1, the old program untouched, nothing beside it."""
    target = ("freeze", EXAMPLES / "hello.py", "-o", tmp_path, *ZIP)
    assert epm_task(*target).exit_code == 0
    before = (tmp_path / "Jobs" / "bin" / "Hello" / "manifest.json").read_bytes()
    # A measured process would write down what it has measured, and find no room either.
    env = {name: text for name, text in environment().items() if "COVERAGE" not in name}
    done = subprocess.run(
        line(*target),
        env=env,
        preexec_fn=_no_room,  # a child of this one thread
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    place = tmp_path / "Jobs" / "bin" / "Hello"
    assert f"the operating system refused {place}: File too large" in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert left_in(tmp_path) == ["Jobs"]
    assert (tmp_path / "Jobs" / "bin" / "Hello" / "manifest.json").read_bytes() == before


@zipped
def test_a_path_that_is_too_long_is_one_sentence(tmp_path: Path) -> None:
    """The operating system says no before anything is built."""
    deep = tmp_path / "/".join(["d" * 250] * 20)
    done = epm_task("freeze", EXAMPLES / "hello.py", "-o", deep, *ZIP)
    assert done.exit_code == 1
    assert "File name too long" in done.err
    assert left_in(tmp_path) == []


def test_a_signal_leaves_nothing_half_made(tmp_path: Path) -> None:
    """What was made aside is removed, and the exit code is that of the signal."""
    output = tmp_path / "out"
    with running("freeze", EXAMPLES / "hello.py", "-o", output, scratch=tmp_path) as command:
        command.read_until("building")
        deadline = time.monotonic() + PATIENCE
        while not list(output.glob(".freeze-*/*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        command.signal(STOP)
        assert command.end().code == 128 + STOP
        assert command.leftovers() == []
    assert left_in(output) == []


def test_a_folder_of_somebody_else_is_kept(tmp_path: Path) -> None:
    """Only a build of ours is replaced."""
    place = tmp_path / "Jobs" / "bin" / "Hello"
    place.mkdir(parents=True)
    (place / "precious").touch()
    done = epm_task("freeze", EXAMPLES / "hello.py", "-o", tmp_path)
    assert done.exit_code == 1
    assert left_in(place) == ["precious"]


@zipped
@pytest.mark.slow
def test_the_sign_command_runs_before_the_manifest(tmp_path: Path) -> None:
    """What it changes is in the digests; when it fails, no program is put in place."""
    tool = tmp_path / "sign.py"
    tool.write_text("import sys\nopen(sys.argv[1], 'ab').write(b'# signed\\n')\n")
    target = ("freeze", EXAMPLES / "hello.py", "-o", tmp_path / "out", *ZIP)
    done = epm_task(*target, "--sign-command", f"{sys.executable} {tool} {{path}}")
    assert done.exit_code == 0, done.err
    assert "1 files signed" in done.out
    launcher = tmp_path / "out" / "Jobs" / "bin" / "Hello" / "Hello"
    assert launcher.read_text().endswith("# signed\n")
    assert epm_task("verify-install", launcher).exit_code == 0
    failing = epm_task(*target[:3], tmp_path / "other", *ZIP, "--sign-command", "/bin/false {path}")
    assert failing.exit_code == 1
    assert "exit code 1 for Hello" in failing.err
    assert left_in(tmp_path / "other") == []


@pytest.mark.skipif(sys.platform != "win32", reason="it can be built elsewhere")
def test_windows_builds_no_zip_program(tmp_path: Path) -> None:
    """Its launcher would be another process than the one that the agent trusts."""
    done = epm_task("freeze", EXAMPLES / "hello.py", "-o", tmp_path, *ZIP)
    assert done.exit_code == 1
    assert "a zip program cannot be built on Windows" in done.err
    assert left_in(tmp_path) == []


def test_arguments_begin_with_a_hyphen() -> None:
    """The hyphens between have gone by then; a target never begins with one."""
    assert before_and_after(["a.py", "b.py:t", "--root", "."]) == (
        ["a.py", "b.py:t"],
        ["--root", "."],
    )
    assert before_and_after([]) == ([], [])


def test_tasks_of_one_file_belong_together() -> None:
    """No name means all of them."""
    hello = EXAMPLES / "hello.py"
    named = files_and_tasks([f"{hello}:hello", f"{hello}:other_one"])
    assert named == {hello: ["hello", "other-one"]}
    assert files_and_tasks([str(hello)]) == {hello: []}
    with pytest.raises(Failure):
        files_and_tasks(["nowhere.py"])


def test_data_goes_into_the_program_only(tmp_path: Path) -> None:
    """A folder inside of it, or its top."""
    assert data_pair(f"{tmp_path}=a/b") == (tmp_path, "a/b")
    assert data_pair(str(tmp_path)) == (tmp_path, ".")
    outside = ("/etc", "../x", "C:x") if sys.platform == "win32" else ("/etc", "../x")
    for text in ("nowhere", *(f"{tmp_path}={folder}" for folder in outside)):
        with pytest.raises(Failure):
            data_pair(text)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The example with settings, as a program of somebody else."""
    return program(tmp_path, (EXAMPLES / "key_scanner.py").read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.posix("the program is a text with a #! line")
def test_a_good_program(place: Path) -> None:
    """A table, and 0; settings that the task reads can be given."""
    setting = ("--setting", "KeyScanner.max_bytes=10")
    source = ("--source", EXAMPLES / "key_scanner.py", "--start-tolerance", "1000")
    done = epm_task("verify", place, *setting, *source, "--", "--root=.")
    assert done.exit_code == 0, done.out
    assert "times its source" in done.out
    assert "acknowledged" in done.out


@pytest.mark.posix("the program is a text with a #! line")
def test_a_program_without_its_settings(place: Path) -> None:
    """The agent does not know the plugin of a foreign program: 1, and the reason."""
    done = epm_task("verify", place / "Probe", "--json", "--", "--root=.")
    answer = json.loads(done.out)
    assert (done.exit_code, answer["passed"]) == (1, False)
    assert answer["program"] == str(place / "Probe")
    failed = {check["name"]: check["detail"] for check in answer["checks"]}
    assert failed["exit code"].startswith("66")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["/nowhere"], f"{Path('/nowhere').absolute()} does not exist"),
        ([sys.executable, "--source", "/nowhere"], "is not a file"),
        ([sys.executable, "--setting", "x"], "names no plugin"),
        ([sys.executable, "--start-tolerance", "2"], "give the task file with --source"),
        ([sys.executable, "--start-tolerance", "0"], "'--start-tolerance'"),
    ],
)
def test_wrong_use_of_verify(words: list[str], sentence: str) -> None:
    """2, and one sentence."""
    done = epm_task("verify", *words)
    assert done.exit_code == 2
    assert sentence in done.err


@zipped
def test_a_build_passes_until_it_is_touched(tmp_path: Path) -> None:
    """0 and 1; the changed file is named."""
    words = ("--backend", "zipapp", "--python", sys.executable)
    assert epm_task("freeze", EXAMPLES / "hello.py", "-o", tmp_path, *words).exit_code == 0
    place = tmp_path / "Jobs" / "bin" / "Hello"
    assert epm_task("verify-install", place).exit_code == 0
    (place / "Hello.pyz").write_bytes(b"")
    done = epm_task("verify-install", place, "--json")
    answer = json.loads(done.out)
    assert (done.exit_code, answer["passed"]) == (1, False)
    assert answer["checks"][0]["detail"].startswith("Hello.pyz was changed")


def test_a_program_without_a_manifest(tmp_path: Path) -> None:
    """There is nothing to compare: 2."""
    done = epm_task("verify-install", program(tmp_path, ""))
    assert done.exit_code == 2
    assert "has no manifest" in done.err
