"""Tests of `epm-task new`: what it makes, asks, refuses, and leaves alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from cli.command import environment, line
from cli.command_line import Finished, epm_task
from peers.patience import PATIENCE
from templates.rendering import TEMPLATE, TEMPLATES, files_below, run

from epm_task.contract.argument_line import command_text


def make(folder: Path, *words: str) -> Path:
    """Make the project `key-scanner` below *folder*, and return it."""
    made = epm_task("new", "key-scanner", "--no-input", "--output-dir", folder, *words)
    assert made.exit_code == 0, made.err
    return folder / "key-scanner"


def test_it_makes_what_the_template_makes(tmp_path: Path) -> None:
    """The same project as cookiecutter alone, and nothing beside it."""
    project = make(tmp_path / "deep" / "er")
    assert list(project.parent.iterdir()) == [project]
    assert files_below(project) == files_below(TEMPLATE.render({}, tmp_path / "other"))


def test_it_says_the_next_three_commands(tmp_path: Path) -> None:
    """They are those of the tutorial."""
    made = epm_task("new", "key-scanner", "--output-dir", tmp_path, "--no-input")
    lines = made.out.splitlines()
    assert lines[0] == f"made {tmp_path / 'key-scanner'}; next:"
    assert lines[1].startswith("  cd ")
    assert str(tmp_path / "key-scanner") in lines[1]
    assert lines[2:] == [
        '  python -m pip install -e ".[dev]"',
        "  epm-task run src/key_scanner.py -- --root .",
    ]


def test_answers_come_from_the_command_line(tmp_path: Path) -> None:
    """A script answers each question by its name."""
    project = make(tmp_path, "--answer", "schedule=daily", "--answer", "typed_settings=no")
    table = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["epm-task"]["template"]
    assert (table["schedule"], table["typed_settings"]) == ("daily", False)


def test_json_lists_files_and_next_commands(tmp_path: Path) -> None:
    """A program reads one object."""
    made = epm_task("new", "key-scanner", "--output-dir", tmp_path, "--json")
    answer = json.loads(made.out)
    assert (tmp_path / "key-scanner" / "pyproject.toml").as_posix() in answer["files"]
    assert len(answer["next"]) == 3


@pytest.mark.parametrize(
    "kind",
    ["folder", "file", pytest.param("dangling link", marks=pytest.mark.posix("links are POSIX"))],
)
def test_nothing_is_overwritten(kind: str, tmp_path: Path) -> None:
    """Whatever is there stays as it is."""
    target = tmp_path / "key-scanner"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.touch()
    else:
        target.symlink_to("nowhere")
    made = epm_task("new", "key-scanner", "--output-dir", tmp_path)
    assert made.exit_code == 2
    assert f"{target} exists, and nothing is ever overwritten" in made.err
    assert list(tmp_path.iterdir()) == [target]
    assert not target.is_dir() or not list(target.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["key_scanner"], "underscore"),
        (["key scanner"], "lower case letters"),
        (["class"], "keyword"),
        (["abc"], "hide the module abc"),
        ([], "the task has no name"),
        (["key-scanner", "--answer", "colour=red"], "the keys are name, description"),
        (["key-scanner", "--answer", "schedule"], "answers no question"),
        (["key-scanner", "--answer", "schedule=weekly"], "hourly or daily or startup or manual"),
        (["key-scanner", "--answer", "typed_settings=maybe"], "write true or false"),
        (["key-scanner", "--answer", "description=2 lines\n"], "begin with a letter"),
        (["key-scanner", "--templates", "nowhere"], "give the folder of a cookiecutter template"),
        (["key-scanner", "--into", "nowhere"], "holds no pyproject.toml"),
    ],
)
def test_wrong_use_is_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong and what to write; nothing is made."""
    monkeypatch.chdir(tmp_path)
    made = epm_task("new", *words)
    assert made.exit_code == 2
    assert sentence in made.err
    assert made.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The operating system's reason, and exit code 1."""
    (tmp_path / "file").touch()
    made = epm_task("new", "key-scanner", "--output-dir", tmp_path / "file" / "folder")
    assert made.exit_code == 1
    assert str(tmp_path / "file") in made.err


def test_a_path_with_blanks_and_other_scripts_works(tmp_path: Path) -> None:
    """The folder may have any name; the command shown is quoted."""
    folder = tmp_path / "zwei Wörter 鍵"
    made = epm_task("new", "key-scanner", "--output-dir", folder)
    assert f"cd {command_text([str(folder / 'key-scanner')])}\n" in made.out
    assert (folder / "key-scanner" / "LICENSE").is_file()


def test_a_task_is_added_to_a_project(tmp_path: Path) -> None:
    """Module, test and job come in, the module is on the task list, all else is untouched."""
    project = make(tmp_path)
    before = files_below(project)
    added = epm_task("new", "disk-check", "--into", project, "--answer", "schedule=daily")
    assert added.exit_code == 0, added.err
    after = files_below(project)
    assert after.keys() - before.keys() == {
        "src/disk_check.py",
        "tests/test_disk_check.py",
        "Jobs/disk-check.json",
    }
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {"pyproject.toml"}
    table = tomllib.loads(after["pyproject.toml"].decode())["tool"]["epm-task"]
    assert table["tasks"] == ["src/key_scanner.py", "src/disk_check.py"]


def test_the_jobs_of_both_tasks_are_in_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`epm-task job --check` without a file looks at each task of the project."""
    project = make(tmp_path)
    epm_task("new", "disk-check", "--into", project)
    monkeypatch.chdir(project)
    checked = epm_task("job", "--check")
    assert checked.exit_code == 0, checked.err
    assert len(checked.err.splitlines()) == 2
    (project / "Jobs" / "disk-check.json").unlink()
    assert epm_task("job", "--check").exit_code == 1


def test_adding_overwrites_nothing(tmp_path: Path) -> None:
    """When one of the three files is there, none is written."""
    project = make(tmp_path)
    (project / "Jobs" / "disk-check.json").write_text("{}")
    before = files_below(project)
    added = epm_task("new", "disk-check", "--into", project)
    assert added.exit_code == 2
    assert "disk-check.json exists" in added.err
    assert files_below(project) == before


def _own_template(folder: Path, hook: str) -> Path:
    project = folder / "task" / "{{cookiecutter.name}}" / "src"
    project.mkdir(parents=True)
    (project / "{{cookiecutter.name}}.py").write_bytes(b"# {{ cookiecutter.description }}\n")
    questions = {"name": "probe", "description": "Probe.", "_template_version": 1}
    (folder / "task" / "cookiecutter.json").write_text(json.dumps(questions))
    (folder / "task" / "hooks").mkdir()
    (folder / "task" / "hooks" / "pre_gen_project.py").write_text(hook)
    return folder


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    """Its hooks are run by cookiecutter."""
    templates = _own_template(tmp_path / "own", "open('{{ cookiecutter.name }}.txt', 'w').close()")
    made = epm_task("new", "probe", "--templates", templates, "--output-dir", tmp_path)
    assert made.exit_code == 0, made.err
    assert files_below(tmp_path / "probe") == {"src/probe.py": b"# Probe.\n", "probe.txt": b""}


@pytest.mark.parametrize("hook", ["import sys; sys.exit('no')", "{{ cookiecutter.unknown }}"])
def test_a_template_that_fails_is_named(hook: str, tmp_path: Path) -> None:
    """Nothing is left of what it began."""
    templates = _own_template(tmp_path / "own", hook)
    made = epm_task("new", "probe", "--templates", templates, "--output-dir", tmp_path)
    assert made.exit_code == 2
    assert f"{Path('own', 'task')} cannot be rendered" in made.err
    assert list(tmp_path.iterdir()) == [templates]


@pytest.mark.posix("pty is POSIX")
def test_it_asks_at_a_terminal(tmp_path: Path) -> None:
    """Each question once; a refused answer is told and asked for again."""
    ours, theirs = os.openpty()
    answers = ["two words", "key-scanner", "Look around.", "daily", "y", "n", "BSD-3-Clause"]
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    done = subprocess.run(
        line("new"),
        check=False,
        cwd=tmp_path,
        env=environment(),
        stdin=theirs,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "'two words' is not made of lower case letters" in done.stderr
    table = tomllib.loads((tmp_path / "key-scanner" / "pyproject.toml").read_text())
    kept = table["tool"]["epm-task"]["template"]
    assert list(kept.values())[1:] == [
        "key-scanner",
        "Look around.",
        "daily",
        True,
        False,
        answers[-1],
    ]


def test_adding_is_whole_or_nothing(tmp_path: Path) -> None:
    """When the third file cannot be written, the first two are taken back."""
    project = make(tmp_path)
    (project / "Jobs" / "key-scanner.json").unlink()
    (project / "Jobs").rmdir()
    (project / "Jobs").touch()
    before = files_below(project)
    added = epm_task("new", "disk-check", "--into", project)
    assert added.exit_code == 1
    assert files_below(project) == before


#: What the newer template of these tests changes.
_OLD_LINE = 'requires-python = ">=3.11"'
_NEW_LINE = 'requires-python = ">=3.12"'


@pytest.fixture(autouse=True)
def _git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A git that knows neither this machine's settings nor a repository around the test."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """A folder with a newer template, and the present one as the older."""
    _need_git()
    folder = tmp_path / "templates"
    shutil.copytree(TEMPLATES / "task", folder / "task")
    (folder / "older").mkdir()
    with zipfile.ZipFile(folder / "older" / f"{TEMPLATE.version}.zip", "w") as packed:
        for path in sorted((folder / "task").rglob("*")):
            packed.write(path, path.relative_to(folder / "task"))
    questions = folder / "task" / "cookiecutter.json"
    old, new = (f'"_template_version": {TEMPLATE.version + more}' for more in (0, 1))
    _replace(questions, old, new)
    (project,) = (folder / "task").glob("{{*")
    _replace(project / "pyproject.toml", _OLD_LINE, _NEW_LINE)
    (project / ".editorconfig").write_text("root = true\n")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the present template, committed."""
    _need_git()
    made = TEMPLATE.render({}, tmp_path)
    _commit(made, "init", "-q")
    return made


def _need_git() -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def _commit(folder: Path, *first: str) -> None:
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@localhost"]
    for words in (first, ("add", "-A"), ("commit", "-q", "-m", "x")):
        if words:
            run(*git, *words, cwd=folder)


def _upgrade(project: Path, templates: Path, *words: str) -> Finished:
    return epm_task("upgrade", project, "--templates", templates, *words)


def test_what_is_new_comes_in_and_what_is_own_stays(project: Path, templates: Path) -> None:
    """A changed line, a new file, and the author's own changes in the same file."""
    _replace(project / "pyproject.toml", 'version = "0.1.0"', 'version = "7.0.0"')
    _commit(project)
    done = _upgrade(project, templates)
    assert done.exit_code == 0, done.err
    assert done.out.splitlines() == [
        "A .editorconfig",
        "M pyproject.toml",
        f"template {TEMPLATE.version} -> {TEMPLATE.version + 1}; next: look, test, commit",
    ]
    text = (project / "pyproject.toml").read_text()
    assert 'version = "7.0.0"' in text
    assert _NEW_LINE in text
    assert f"version = {TEMPLATE.version + 1}" in text


def test_a_second_upgrade_has_nothing_to_do(project: Path, templates: Path) -> None:
    """The version in pyproject.toml has come along."""
    _upgrade(project, templates)
    _commit(project)
    done = _upgrade(project, templates)
    assert done.exit_code == 0
    assert done.out.startswith("nothing to do")


def test_conflicts_are_those_of_git(project: Path, templates: Path) -> None:
    """Markers in the file, an unmerged entry in the index, exit code 1."""
    _replace(project / "pyproject.toml", _OLD_LINE, 'requires-python = ">=3.13"')
    _commit(project)
    done = _upgrade(project, templates, "--json")
    assert done.exit_code == 1
    answer = json.loads(done.out)
    assert answer["conflicts"] == ["pyproject.toml"]
    assert answer["changed"] == [["A", ".editorconfig"]]
    text = (project / "pyproject.toml").read_text()
    assert "<<<<<<< HEAD" in text
    assert _NEW_LINE in text
    assert "UU pyproject.toml" in run("git", "status", "--porcelain", cwd=project)


def test_it_can_be_taken_back(project: Path, templates: Path) -> None:
    """`git reset --hard`, as the help says, leaves the project as it was."""
    _replace(project / "pyproject.toml", _OLD_LINE, 'requires-python = ">=3.13"')
    _commit(project)
    _upgrade(project, templates)
    run("git", "reset", "-q", "--hard", cwd=project)
    assert run("git", "status", "--porcelain", cwd=project) == ""
    assert _upgrade(project, templates).exit_code == 1


def test_a_deleted_file_stays_deleted(project: Path, templates: Path) -> None:
    """What the template did not change is not brought back."""
    (project / ".pre-commit-config.yaml").unlink()
    _commit(project)
    assert _upgrade(project, templates).exit_code == 0
    assert not (project / ".pre-commit-config.yaml").exists()


def test_a_renamed_file_is_followed(project: Path, templates: Path) -> None:
    """A change of the template reaches the file under its new name."""
    (source,) = (templates / "task").glob("{{*")
    _replace(source / "README.md", "## Ship it", "## Ship it now")
    (project / "README.md").rename(project / "READ.md")
    _commit(project)
    assert _upgrade(project, templates).exit_code == 0
    assert "## Ship it now" in (project / "READ.md").read_text()
    assert not (project / "README.md").exists()


def test_a_project_in_a_folder_of_its_repository(tmp_path: Path, templates: Path) -> None:
    """Nothing outside the project's folder is touched, and the paths are the project's."""
    inside = TEMPLATE.render({}, tmp_path / "all" / "tasks")
    (tmp_path / "all" / "pyproject.toml").write_text("# another one\n")
    _commit(tmp_path / "all", "init", "-q")
    done = _upgrade(inside, templates)
    assert done.exit_code == 0, done.err
    assert "A .editorconfig" in done.out
    assert (inside / ".editorconfig").is_file()
    assert (tmp_path / "all" / "pyproject.toml").read_text() == "# another one\n"


def test_answers_can_change(project: Path, templates: Path) -> None:
    """The present template with another answer is merged in the same way."""
    done = epm_task("upgrade", project, "--answer", "schedule=daily")
    assert done.exit_code == 0, done.err
    assert '"0 6 * * *"' in (project / "Jobs" / "key-scanner.json").read_text()
    assert 'cron="0 6 * * *"' in (project / "src" / "key_scanner.py").read_text()
    assert 'schedule = "daily"' in (project / "pyproject.toml").read_text()


@pytest.mark.parametrize("kind", ["changed", "new", "staged"])
def test_uncommitted_changes_are_refused(kind: str, project: Path, templates: Path) -> None:
    """The sentence names the file; nothing is changed."""
    name = "own.txt" if kind == "new" else "LICENSE"
    (project / name).write_text("mine\n")
    if kind == "staged":
        run("git", "add", name, cwd=project)
    before = run("git", "status", "--porcelain", cwd=project)
    done = _upgrade(project, templates)
    assert done.exit_code == 2
    assert f"not committed: {name}; commit or stash" in done.err
    assert run("git", "status", "--porcelain", cwd=project) == before


def test_a_project_without_git_is_refused(tmp_path: Path, templates: Path) -> None:
    """There would be no way back."""
    made = TEMPLATE.render({}, tmp_path)
    done = _upgrade(made, templates)
    assert done.exit_code == 2
    assert "in no git repository" in done.err


def test_a_machine_without_git_is_told(
    project: Path, templates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names what is missing."""
    monkeypatch.setenv("PATH", "")
    assert "git is not installed" in _upgrade(project, templates).err


def test_a_repository_without_a_commit_is_refused(tmp_path: Path, templates: Path) -> None:
    """All its files are not committed."""
    made = TEMPLATE.render({}, tmp_path)
    run("git", "init", "-q", cwd=made)
    assert "and 7 more; commit or stash" in _upgrade(made, templates).err


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[tool.epm-task.template]", "[tool.other]", "was made from is not known"),
        (f"version = {TEMPLATE.version}\n", "version = 99\n", "install a newer epm-task"),
        (f"version = {TEMPLATE.version}\n", "version = 0\n", "version 0 of the template is not"),
        ("[project]", "[project", "cannot be read"),
    ],
)
def test_an_unknown_origin_is_refused(
    old: str, new: str, sentence: str, project: Path, templates: Path
) -> None:
    """Without the older template there is nothing to compare with."""
    _replace(project / "pyproject.toml", old, new)
    _commit(project)
    done = _upgrade(project, templates)
    assert done.exit_code == 2
    assert sentence in done.err


def test_a_task_is_not_renamed(project: Path, templates: Path) -> None:
    """Its files would be the author's no more."""
    done = _upgrade(project, templates, "--answer", "name=disk-check")
    assert "does not rename" in done.err


def test_an_ignored_file_is_not_overwritten(project: Path, templates: Path) -> None:
    """Git itself would, and `git status` does not show it."""
    with (project / ".gitignore").open("a") as ignored:
        ignored.write(".editorconfig\n")
    (project / ".editorconfig").write_text("mine\n")
    _commit(project)
    done = _upgrade(project, templates)
    assert done.exit_code == 2
    assert ".editorconfig is not in git" in done.err
    assert (project / ".editorconfig").read_text() == "mine\n"
    assert run("git", "status", "--porcelain", cwd=project) == ""


def test_a_refusal_of_git_is_told(project: Path, templates: Path) -> None:
    """Git's own words, when it does not begin."""
    (project / ".git" / "index.lock").touch()
    done = _upgrade(project, templates)
    assert done.exit_code == 2
    assert "git refused the merge" in done.err
    assert "index.lock" in done.err
