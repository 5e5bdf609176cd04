"""What the tests of the template share: its place, its combinations, and how a project is made."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from epm_task.scaffold.template import Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.scaffold.template import Answer

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
TEMPLATE = Template(TEMPLATES / "task")


#: Short, and such as the generated files may use for something of their own.
_NAMES = ("k8s", "match", "typing-x", "error", "main", "record", "settings", "path", "disk-report")


class Project(NamedTuple):
    """One generated project."""

    folder: Path
    answers: dict[str, Answer]

    @property
    def name(self) -> str:
        """The name of its task."""
        return str(self.answers["name"])

    @property
    def module(self) -> Path:
        """The file of its task."""
        return self.folder / "src" / f"{self.name.replace('-', '_')}.py"

    @property
    def job(self) -> Path:
        """The file of its job."""
        return self.folder / "Jobs" / f"{self.name}.json"


def combinations() -> Iterator[dict[str, Answer]]:
    """Yield each combination of answers, each with a name of its own, long or short."""
    questions = TEMPLATE.questions
    options: dict[str, list[Answer]] = {
        "schedule": list(questions["schedule"].choices),
        "publish_findings": [False, True],
        "typed_settings": [False, True],
        "licence": list(questions["licence"].choices),
    }
    names = list(_NAMES)
    for number, values in enumerate(itertools.product(*options.values())):
        name = names.pop() if number % 2 and names else f"t{number:02}-has-the-longest-name-of-allx"
        yield {"name": name, "description": "x" * 80, **dict(zip(options, values, strict=True))}


def run(*words: object, cwd: Path, env: dict[str, str] | None = None, seconds: int = 300) -> str:
    """Run a program to its good end, and return what it printed."""
    done = subprocess.run(
        list(map(str, words)),
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cookiecutter(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run cookiecutter alone, with a home of its own, in *folder*."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "cookiecutter", str(TEMPLATE.folder), "--no-input", *words]
    env = {**os.environ, "HOME": str(home), "USERPROFILE": str(home), "TMPDIR": str(home)}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, encoding="utf-8", check=False
    )


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the content of each file by its path, without the bytecode of an earlier test."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
