"""Tests of what the command line reads: options, tasks and jobs in files, documents."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from cli.command import HELLO, epm_task, task_file
from cli.command_line import epm_task as in_process

from epm_task.cli.inputs import (
    check_required,
    declared_in,
    job_of,
    project_tasks,
    read_faults,
    read_settings,
    split_target,
    unread_settings,
)
from epm_task.cli.output import WRONG_USE, Failure
from epm_task.errors import DefinitionError, EpmTaskError
from epm_task.exit_code import ExitCode


def refused(*words: object) -> str:
    """Return the one line with which the command refuses its options."""
    ended = in_process(*words)
    assert (ended.exit_code, ended.out, ended.err.count("\n")) == (WRONG_USE, "", 1), ended
    return ended.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--setting", "max_bytes"], "write PLUGIN.key=value"),
        (["--setting", "KeyScanner=1"], "--setting KeyScanner names no plugin and key"),
        (["--setting", ".key=1"], "--setting .key names no plugin and key"),
        (["--setting", "P.=1"], "--setting P. names no plugin and key"),
        (["--settings", "absent.json"], "absent.json: it cannot be read"),
        (["--fault", "weather bad=1"], "'weather'"),
        (["--fault", "api status=403 bogus=1"], "bogus"),
        (["--fault", ""], "choose one of api"),
        (["--faults", "absent.toml"], "absent.toml"),
    ],
)
def test_bad_option(words: list[str], sentence: str) -> None:
    """The failure names the option's value and what to write instead."""
    assert sentence in refused("run", HELLO, *words)
    assert sentence in refused("agent", "--root", "never-made", *words)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "line 1"),
        ("[1]", '{"Plugin": {"key": "value"}}'),
        ('{"P": 1}', '{"Plugin": {"key": "value"}}'),
        ("[" * 100_000, "nested too deeply"),
        ("\xff", "not UTF-8"),
    ],
)
def test_bad_settings_file(tmp_path: Path, text: str, sentence: str) -> None:
    """Bad JSON, and JSON of another shape, are refused; the file is named."""
    file = tmp_path / "settings.json"
    file.write_bytes(text.encode("latin-1"))
    failure = refused("run", HELLO, "--settings", file)
    assert str(file) in failure
    assert sentence in failure


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a = = b", "line 1"),
        ("api = 5", "[[api]]"),
        ("[[weather]]\nbad = 1", "'weather'"),
        ("[[api]]\nbogus = 1", "bogus"),
    ],
)
def test_bad_faults_file(tmp_path: Path, text: str, sentence: str) -> None:
    """Bad TOML, and faults that nobody knows, are refused; the file is named."""
    failure = refused("run", HELLO, "--faults", task_file(tmp_path, text, "faults.toml"))
    assert "faults.toml" in failure
    assert sentence in failure


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "import epm_task\n\ndef broken(\n",
            "cannot be imported: SyntaxError: '(' was never closed (my_task.py, line 3)",
        ),
        ("import epm_task\nimport no_such_module\n", "No module named 'no_such_module'"),
        ("import epm_task\n1 / 0\n", "ZeroDivisionError"),
        ("import sys, epm_task\nsys.exit(0)\n", "cannot be imported: SystemExit"),
        (
            'import epm_task\n@epm_task.task\ndef a():\n    """A."""\na.main()\n',
            'write `if __name__ == "__main__":` above that line',
        ),
    ],
)
def test_file_that_cannot_be_imported(tmp_path: Path, text: str, sentence: str) -> None:
    """The failure says which exception came, and where; nothing is started."""
    file = task_file(tmp_path, text)
    failure = refused("run", file)
    assert sentence in failure
    assert f"`python {file} --help` must work" in failure


def test_target_that_is_not_a_file(tmp_path: Path) -> None:
    """A missing file and a folder are told apart; a task that is not there is named."""
    assert "absent.py does not exist" in refused("run", tmp_path / "absent.py")
    assert "is not a file" in refused("run", tmp_path)
    assert "has no task 'x'" in refused("run", f"{HELLO}:x")
    assert "has no task 'x': it holds no task" in refused("run", f"{task_file(tmp_path, 'pass')}:x")


NEEDY = """
from pathlib import Path
from typing import Literal

from epm_task import task

@task
def needy(*, root: Path, mode: Literal["fast", "slow"], dry: bool, name: str = "x") -> None:
    \"\"\"Ask for three things.\"\"\"

if __name__ == "__main__":
    needy.main()
"""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            [],
            "--dry are required and were not given; append: -- --root PATH --mode fast|slow --dry",
        ),
        (
            ["--", "--no-dry", "--mode=fast"],
            "--root is required and was not given; append: --root PATH",
        ),
        (["--", "--dry", "--root=", "--mode", "slow"], "append: --root PATH"),
    ],
)
def test_a_missing_parameter_is_appended(tmp_path: Path, words: list[str], sentence: str) -> None:
    """What to type after the command, with the names of this task; nothing is started."""
    ended = in_process("run", task_file(tmp_path, NEEDY), *words)
    assert (ended.exit_code, ended.out) == (ExitCode.USAGE, "")
    assert ended.err.count("\n") == 1
    assert ended.err.endswith(f"{sentence}\n")


@pytest.mark.parametrize("words", [["--help"], ["--rot=/"], ["--root={Root}"], ["--root"]])
def test_other_arguments_are_for_the_task_to_judge(tmp_path: Path, words: list[str]) -> None:
    """It answers a question, and knows what is wrong with its command line."""
    (needy,) = declared_in(task_file(tmp_path, NEEDY)).tasks.values()
    check_required(needy, words)


def test_import_may_print(tmp_path: Path) -> None:
    """What the file prints when it is looked at does not reach stdout."""
    file = task_file(tmp_path, "import epm_task\nprint('looked at')\n1 / 0\n")
    ended = epm_task("run", file)
    assert (ended.code, ended.out, ended.err[0]) == (2, "", "looked at")


def test_split_target(tmp_path: Path) -> None:
    """The last colon parts file and task, unless the whole is a file."""
    file = task_file(tmp_path, "")
    assert split_target(str(file)) == (file, None)
    assert split_target(f"{file}:key_scanner") == (file, "key-scanner")
    if sys.platform != "win32":
        odd = task_file(tmp_path, "", "a:b.py")
        assert split_target(str(odd)) == (odd, None)
        assert split_target(f"{odd}:c") == (odd, "c")


def test_split_target_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `python -m` has it: a module in a package, or a package with `__main__`."""
    file = task_file(tmp_path, "", "__main__.py")
    (tmp_path / "src" / "pack").mkdir(parents=True)
    (tmp_path / "src" / "pack" / "__init__.py").write_text("raise SystemExit('imported')")
    file.rename(tmp_path / "src" / "pack" / "__main__.py")
    task_file(tmp_path / "src" / "pack", "", "tasks.py")
    monkeypatch.chdir(tmp_path)
    assert split_target("pack.tasks:a_b") == (Path("src/pack/tasks.py"), "a-b")
    assert split_target("pack") == (Path("src/pack/__main__.py"), None)
    for name in ("pack.nothing", "nothing", "json", "json.tool", "epm_task.job"):
        with pytest.raises(Failure, match="does not exist"):
            split_target(name)


def test_read_settings(tmp_path: Path) -> None:
    """Assignments lie above the file; the first dot ends the plugin, the first `=` the key."""
    file = task_file(tmp_path, '{"P": {"a": 1, "b.c": null}}', "settings.json")
    assert read_settings(file, ["P.a=x=y", "Q.b.c="]) == {
        "P": {"a": "x=y", "b.c": None},
        "Q": {"b.c": ""},
    }
    assert read_settings(None, []) == {}


SETTINGS = """
from typing import Any

from pydantic import BaseModel, Field
from epm_task import TaskSettings, task

class Schedule(BaseModel):
    start_hour: int = 1
    again: "Schedule | None" = None

class Settings(TaskSettings, plugin="TempCleaner"):
    keep_days: int = 1
    schedule: Schedule = Schedule()
    limits: dict[str, int] = {}
    extra: Any = None
    name: str = Field("", validation_alias="host.name")

@task
def typed(settings: Settings) -> None:
    \"\"\"Read them.\"\"\"

@task
def untyped() -> None:
    \"\"\"Read none.\"\"\"
"""


def test_settings_that_are_not_read(tmp_path: Path) -> None:
    """A plugin or a key that the task does not know is told with the one that was meant."""
    tasks = declared_in(task_file(tmp_path, SETTINGS)).tasks
    known = dict.fromkeys(
        ["keep_days", "schedule", "schedule.again.start_hour", "limits.a", "extra.a.b", "host.name"]
    )
    system: dict[str, dict[str, Any]] = {"KeeperPrivilegeManager": {"broker.port": 1}}
    given: dict[str, dict[str, Any]] = {
        "TempCleaner": {**known, "keep_day": 1, "schedule.start": 1, "x.y": 1},
        **system,
    }
    have = "keep_days, schedule.start_hour, schedule.again, limits, extra, name, host.name"
    assert list(unread_settings(tasks["typed"], {**given, "tempCleaner": {}, "Other": {}})) == [
        "TempCleaner has no setting keep_day; did you mean keep_days?",
        "TempCleaner has no setting schedule.start; did you mean schedule.start_hour?",
        f"TempCleaner has no setting x.y; it has {have}",
        "the task reads no settings of tempCleaner; did you mean TempCleaner?",
        "the task reads no settings of Other; it reads TempCleaner",
    ]
    assert list(unread_settings(tasks["untyped"], {**system, "Other": {}})) == [
        "the task reads no settings of Other; it reads none"
    ]


def test_a_setting_that_is_not_read_is_warned_about() -> None:
    """The run goes on."""
    ended = epm_task("run", HELLO, "--setting", "Helo.a=1")
    assert (ended.code, ended.err[0]) == (
        0,
        "warning: the task reads no settings of Helo; it reads none",
    )


def test_read_faults(tmp_path: Path) -> None:
    """The faults of the file and of the command line hold both."""
    file = task_file(tmp_path, "[[run]]\ndisk_full = true\n", "faults.toml")
    faults = read_faults(file, ["run kill_after=1.5"])
    assert faults.take("run", "disk_full")
    assert faults.take("run", "kill_after") == 1.5


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.epm-task]\ntasks = ["src/a.py", "b.py"]\n')
    monkeypatch.chdir(tmp_path)


def test_they_are_those_of_the_project() -> None:
    """In the order of the list."""
    assert project_tasks() == [Path("src/a.py"), Path("b.py")]


def test_a_folder_inside_is_in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths lead to the files from there."""
    monkeypatch.chdir("src")
    assert project_tasks() == [Path("a.py"), Path("../b.py")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[tool.epm-task]\n", "names its tasks"),
        ('[tool.epm-task]\ntasks = "a.py"\n', r"tasks in \[tool.epm-task\] must be"),
        ("[tool", "cannot be read"),
    ],
)
def test_a_project_without_them_is_told(text: str, why: str, tmp_path: Path) -> None:
    """What is missing, and where to write it."""
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(EpmTaskError, match=why):
        project_tasks()


TASKS = """
import sys
from epm_task import task

print("looked at")

@task
def scan(): ...

@task
def report_all(): ...
"""
JOBS = """
from epm_task.job import Job
both = Job(id="both", tasks=[scan, report_all])
"""


def chosen(*words: object) -> tuple[str, list[str]]:
    """Return the id and the tasks of the job that the targets choose."""
    job = job_of([str(word) for word in words])
    return job.id, [task.name for task in job.tasks]


def test_one_task_is_chosen_by_its_name(tmp_path: Path) -> None:
    """In both spellings."""
    file = task_file(tmp_path, TASKS)
    assert chosen(f"{file}:scan") == ("scan", ["scan"])
    assert chosen(f"{file}:report_all") == chosen(f"{file}:report-all")


def test_several_targets_make_one_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In their order; a file is imported once, and what it prints goes to stderr."""
    file, other = task_file(tmp_path, TASKS), task_file(tmp_path, TASKS, "other.py")
    words = (f"{file}:report-all", f"{file}:scan")
    assert chosen(*words) == ("report-all", ["report-all", "scan"])
    assert capsys.readouterr() == ("", "looked at\n")
    assert chosen(words[0], f"{other}:scan")[1] == ["report-all", "scan"]


def test_the_only_job_or_task_of_a_file_needs_no_name(tmp_path: Path) -> None:
    """A job comes before the tasks that it is made of."""
    assert chosen(task_file(tmp_path, TASKS + JOBS)) == ("both", ["scan", "report-all"])
    alone = task_file(tmp_path, "from epm_task import task\n@task\ndef scan(): ...")
    assert chosen(alone) == ("scan", ["scan"])
    two = task_file(tmp_path, f'{TASKS}{JOBS}other = Job(id="other", tasks=[scan])')
    assert chosen(f"{two}:other") == ("other", ["scan"])
    with pytest.raises(Failure, match=r"as .*:NAME: both, other, scan, report-all$"):
        chosen(two)


@pytest.mark.parametrize(
    ("code", "name", "why"),
    [
        (TASKS, "", "holds several tasks or jobs; choose one"),
        (TASKS, ":nobody", "has no task or job 'nobody'"),
        ("import epm_task", "", "holds no task; decorate"),
        ("import epm_task\n1 / 0", "", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_targets_that_choose_no_single_job(tmp_path: Path, code: str, name: str, why: str) -> None:
    """The sentence says what there is."""
    with pytest.raises(EpmTaskError, match=why):
        job_of([f"{task_file(tmp_path, code)}{name}"])


def test_a_task_stands_once_in_a_job(tmp_path: Path) -> None:
    """The declarations are checked."""
    file = task_file(tmp_path, TASKS)
    with pytest.raises(DefinitionError, match="the task scan is there twice"):
        job_of([f"{file}:scan", f"{file}:scan"])


def test_a_file_is_read_by_importing_it(tmp_path: Path) -> None:
    """Its tasks and jobs by name."""
    declared = declared_in(task_file(tmp_path, TASKS + JOBS))
    assert (list(declared.tasks), list(declared.jobs)) == (["scan", "report-all"], ["both"])
