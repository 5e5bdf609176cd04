"""Tests of what other tools read: hooks, the action, the workflows, and the page about them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from peers.patience import PATIENCE

import epm_task

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
posix = pytest.mark.posix("the steps are for bash")

PROJECT = """
[tool.epm-task]
tasks = ["tasks.py"]
"""


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _blocks(language: str) -> list[str]:
    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose document was made from its code, and `epm-task` on the PATH."""
    shutil.copy(ROOT / "examples" / "key_scanner.py", tmp_path / "tasks.py")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, words in (("epm-task", "-m epm_task.cli"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    command = [sys.executable, "-m", "epm_task.cli", "job", "-o", "Jobs"]
    subprocess.run(command, cwd=tmp_path, timeout=PATIENCE, check=True)
    return tmp_path


def _shell(folder: Path, script: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script as `shell: bash` of a workflow does."""
    path = f"{folder / 'programs'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **more, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.slow
@posix
@pytest.mark.parametrize("broken", [False, True], ids=["whole", "broken"])
def test_the_hooks_pass_and_fail(project: Path, *, broken: bool) -> None:
    """Each command ends as the project deserves, with the files that its pattern chooses."""
    hooks = {hook["id"]: hook for hook in _read(ROOT / ".pre-commit-hooks.yaml")}
    assert hooks.keys() == {"epm-task-validate", "epm-task-job"}
    (document,) = (project / "Jobs").iterdir()
    if broken:
        document.write_text(document.read_text().replace('"key-scanner"', '"key_scanner"'))
    for hook in hooks.values():
        assert (hook["language"], hook["additional_dependencies"]) == ("python", [".[tools]"])
        names = ["tasks.py", "README.md", "pyproject.toml", f"Jobs/{document.name}"]
        chosen = [name for name in names if re.search(hook["files"], name)]
        assert f"Jobs/{document.name}" in chosen
        assert "README.md" not in chosen
        given = chosen if hook.get("pass_filenames", True) else []
        ended = _shell(project, " ".join([hook["entry"], *given]))
        assert ended.returncode == broken, ended.stdout + ended.stderr


def _action(folder: Path, **inputs: str) -> tuple[int, dict[str, Any]]:
    """Take the steps of the action that run a script; return the exit code and the SARIF log."""
    action = _read(ACTION)
    given = {name: one["default"] for name, one in action["inputs"].items()} | inputs
    output = folder / "output"
    output.touch()
    known = {f"inputs.{name}": value for name, value in given.items()}
    code = 0
    for step in action["runs"]["steps"][1:]:  # the first installs
        chosen = step.get("if", "true") == "true" or given["drift"] == "true"
        if "run" in step and chosen and not code:
            env = {name: known[text[4:-3]] for name, text in step["env"].items()}
            code = _shell(folder, step["run"], GITHUB_OUTPUT=str(output), **env).returncode
            answers = (line.split("=") for line in output.read_text().splitlines())
            known |= {f"steps.validate.outputs.{name}": value for name, value in answers}
    return code, json.loads((folder / given["sarif-file"]).read_text() or "{}")


@pytest.mark.slow
@posix
def test_the_action_finds_nothing_in_a_whole_project(project: Path) -> None:
    """More than one path can be given, with spaces in them."""
    shutil.copytree(project / "Jobs", project / "more Jobs")
    code, log = _action(project, paths="Jobs\nmore Jobs\n")
    assert code == 0
    assert [one["level"] for one in log["runs"][0]["results"] if one["level"] != "note"] == []


@pytest.mark.slow
@posix
def test_the_action_fails_with_findings_and_with_drift(project: Path) -> None:
    """Findings are uploaded first; wrong use fails at once."""
    (document,) = (project / "Jobs").iterdir()
    document.write_text(document.read_text().replace('"Count', '"Counts'))
    assert _action(project, drift="true")[0] == 1
    assert _action(project, drift="false")[0] == 0
    document.write_text(document.read_text().replace('"key-scanner"', '"key_scanner"'))
    code, log = _action(project, drift="false")
    assert (code, bool(log["runs"][0]["results"])) == (1, True)
    assert _action(project, paths="absent", drift="false")[0] == 2


def test_the_action_installs_itself() -> None:
    """The version of the action decides, not what the package index has."""
    first, *others = _read(ACTION)["runs"]["steps"]
    assert first["run"] == 'python -m pip install --quiet "${GITHUB_ACTION_PATH}[tools]"'
    assert [step["uses"].partition("@")[0] for step in others if "uses" in step] == [
        "github/codeql-action/upload-sarif"
    ]


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=lambda path: path.name)
def test_each_foreign_action_is_pinned(path: Path) -> None:
    """By the hash of a commit, with the version beside it for people."""
    text = path.read_text(encoding="utf-8")
    uses = re.findall(r"^\s*(?:- )?uses: (.*)$", text, re.MULTILINE)
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", use)] == []


def test_zizmor_finds_nothing() -> None:
    """An auditor of workflows: rights, injection, credentials that are kept, references."""
    if (program := shutil.which("zizmor", path=str(Path(sys.executable).parent))) is None:
        pytest.skip("zizmor, of the extra publish, is not installed")
    audit = [program, "--offline", "--no-progress", str(ACTION), *map(str, WORKFLOWS)]
    ended = subprocess.run(audit, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 0, ended.stdout


def test_only_the_publishing_job_has_rights() -> None:
    """It runs no code of the project; what runs code can read, or do nothing."""
    release = _read(ROOT / ".github" / "workflows" / "release.yml")
    assert release[True] == {"push": {"tags": ["v*"]}}  # YAML takes `on` for a truth value
    assert release["permissions"] == {}
    rights = {name: job["permissions"] for name, job in release["jobs"].items()}
    assert rights == {
        "build": {"contents": "read"},
        "test": {},
        "publish": {"attestations": "write", "id-token": "write"},
    }
    assert all("run" not in step for step in release["jobs"]["publish"]["steps"])
    needs = {name: job.get("needs") for name, job in release["jobs"].items()}
    assert needs == {"build": None, "test": "build", "publish": "test"}


@posix
def test_a_release_compares_tag_and_repository(project: Path) -> None:
    """A wrong tag, or a repository that is not the one in all documents, publishes nothing."""
    steps = _read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]["build"]["steps"]
    (script,) = (step["run"] for step in steps if "GITHUB_REF_NAME" in step.get("run", ""))
    server, _, repository = epm_task.__homepage__.partition("github.com/")
    right = {
        "GITHUB_REF_NAME": f"v{epm_task.__version__}",
        "GITHUB_SERVER_URL": f"{server}github.com",
        "GITHUB_REPOSITORY": repository,
    }
    assert _shell(project, script, **right).returncode == 0
    for name in right:
        assert _shell(project, script, **{**right, name: "other"}).returncode == 1


@posix
@pytest.mark.slow
def test_a_release_uses_the_wheel_as_an_author_does(project: Path) -> None:
    """The commands of that step pass, here with the sources."""
    steps = _read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]["test"]["steps"]
    ended = _shell(project, steps[-1]["run"])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.endswith("}\n")


def test_the_page_uses_what_there_is() -> None:
    """Repository, version, hooks and inputs are those of this project."""
    hooks, workflow = (yaml.safe_load(block) for block in _blocks("yaml"))
    (repository,) = hooks["repos"]
    assert repository["repo"] == epm_task.__homepage__
    assert repository["rev"] == f"v{epm_task.__version__}"
    known = {hook["id"] for hook in _read(ROOT / ".pre-commit-hooks.yaml")}
    assert {hook["id"] for hook in repository["hooks"]} == known
    (job,) = workflow["jobs"].values()
    step = job["steps"][-1]
    address, _, version = step["uses"].partition("@")
    assert epm_task.__homepage__.endswith(f"/{address}")
    assert version == repository["rev"]
    inputs = _read(ACTION)["inputs"]
    assert step["with"].keys() <= inputs.keys()
    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| `(.*?)` \|", page, re.MULTILINE))
    assert rows == {name: one["default"] for name, one in inputs.items()}


def test_the_settings_of_the_editor_find_the_schema(project: Path) -> None:
    """The two blocks fit: the file that is written is the one that is named, for the documents."""
    (settings,) = (json.loads(block) for block in _blocks("json"))
    (entry,) = settings["json.schemas"]
    (command,) = (block for block in _blocks("bash") if "--schema" in block)
    assert command.split()[-1] == entry["url"].removeprefix("./")
    (document,) = (project / "Jobs").iterdir()
    assert any(document.relative_to(project).match(pattern) for pattern in entry["fileMatch"])
