"""Bring a project to a newer version of its template, by a three-way merge.

Git does it. Two commits are made that are on no branch: the project as the old version makes it,
then as the new one does. `git cherry-pick --no-commit` carries the difference between them over to
the work tree, so renames, deletions and conflicts are treated and shown as in any other merge.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.job.project import BadProject, read_table
from epm_task.scaffold.template import ScaffoldError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.scaffold.template import Answer, Template, TemplateVersions

#: How many changed files a refusal names.
_SHOWN: Final = 3


class Upgraded(NamedTuple):
    """What an upgrade did to the work tree; nothing is committed.

    Attributes:
        before: The template's version that the project had.
        after: The version that it has now.
        changed: The files, each with git's letter for what happened to it: A, D, M or R.
        conflicts: The files that hold conflict markers, or that only one side deleted.
    """

    before: int
    after: int
    changed: list[tuple[str, str]]
    conflicts: list[str]


def upgrade(project: Path, templates: TemplateVersions, changes: Mapping[str, Answer]) -> Upgraded:
    """Bring *project* to the current template, with *changes* of the answers it was made with.

    Raises:
        ScaffoldError: The project cannot be upgraded.
    """
    version, answers = _origin(project)
    newest = templates.current
    if version > newest.version:
        raise ScaffoldError(
            f"{project} was made from version {version} of the template",
            f"this epm-task has version {newest.version}",
            "install a newer epm-task",
        )
    changed = {**answers, **changes}
    if changed.get("name") != answers.get("name"):
        raise ScaffoldError("an upgrade does not rename a task", fix="leave name= out")
    if (version, answers) == (newest.version, changed):
        return Upgraded(version, newest.version, [], [])
    with templates.get(version) as oldest:
        return _merge(_clean(project), (oldest, answers), (newest, changed))


def _origin(project: Path) -> tuple[int, dict[str, Answer]]:
    """Return version and answers in `[tool.epm-task.template]` of the project's pyproject.toml."""
    file = project / "pyproject.toml"
    try:
        table = read_table(file, "tool", "epm-task", "template")
    except BadProject as error:
        raise ScaffoldError(error.what, error.why, "give the folder of a project") from error
    if not isinstance(table.get("version"), int):
        raise ScaffoldError(
            f"what {project} was made from is not known",
            f"{file} holds no [tool.epm-task.template] with a version",
            "only a project of `epm-task new` or of the template can be upgraded",
        )
    return table["version"], {k: v for k, v in table.items() if isinstance(v, str | bool)}


def _clean(project: Path) -> GitRepository:
    git = GitRepository(project)
    if changes := git.ask("status", "--porcelain").splitlines():
        shown = ", ".join(line[3:] for line in changes[:_SHOWN])
        more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        raise ScaffoldError(
            f"{project} has changes that are not committed",
            f"{shown}{more}",
            "commit or stash them, so that the upgrade can be told from them",
        )
    return git


def _merge(
    git: GitRepository,
    old: tuple[Template, Mapping[str, Answer]],
    new: tuple[Template, Mapping[str, Answer]],
) -> Upgraded:
    commits: list[str] = []
    with TemporaryDirectory(prefix="epm-upgrade-") as name:
        for template, answers in (old, new):
            top = Path(name) / str(len(commits))
            _render(template, answers, top / git.prefix)
            message = f"Bring the project to version {template.version} of its template"
            commits.append(git.commit_of(top, top.with_suffix(".index"), message, *commits))
    _refuse_untracked(git, *commits)
    picked = git.run("cherry-pick", "--no-commit", commits[1])
    conflicts = git.ask("diff", "--name-only", "--diff-filter=U", "--relative").splitlines()
    if picked.returncode and not conflicts:
        raise ScaffoldError("git refused the merge", picked.stderr.strip(), "do what git says")
    lines = git.ask("diff", "--cached", "--name-status", "--relative", "HEAD").splitlines()
    changed = [(line[0], line.partition("\t")[2]) for line in lines if line[0] != "U"]
    return Upgraded(old[0].version, new[0].version, changed, conflicts)


def _refuse_untracked(git: GitRepository, old: str, new: str) -> None:
    """Refuse to go on when a changed file is the author's own: git would overwrite an ignored one.

    `git status` says nothing of ignored files.
    """
    changed = git.ask("diff", "--name-only", "--relative", old, new).splitlines()
    tracked = git.ask("ls-files").splitlines()
    for path in set(changed) - set(tracked):
        if os.path.lexists(git.folder / path):
            raise ScaffoldError(
                f"{git.folder / path} is not in git, and the upgrade would overwrite it",
                fix="commit it, or move it away",
            )


def _render(template: Template, answers: Mapping[str, Answer], place: Path) -> None:
    """Render the project, so that its folder is *place*."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place.parent) as aside:
        template.render(answers, Path(aside)).rename(place)


#: The commits that a merge needs for a moment; they are on no branch.
_AUTHOR: Final = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "epm-task"), ("EMAIL", "epm-task@localhost"))
}


class GitRepository:
    """The repository in which a folder lies.

    Attributes:
        prefix: The folder, as seen from the top of the work tree; empty for the top.

    Raises:
        ScaffoldError: Git is not installed, or the folder is in no work tree.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        try:
            self.prefix: Final = self.ask("rev-parse", "--show-prefix").strip()
        except FileNotFoundError as error:
            raise ScaffoldError("git is not installed", fix="install git") from error
        except subprocess.CalledProcessError as error:
            raise ScaffoldError(
                f"{folder} is in no git repository, so an upgrade could not be undone",
                fix="`git init`, `git add .`, `git commit`, then again",
            ) from error

    def ask(self, *words: str, **environment: str) -> str:
        """Return what git prints.

        Raises:
            subprocess.CalledProcessError: Git says no.
        """
        return self.run(*words, check=True, **environment).stdout

    def run(
        self, *words: str, check: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run git in the folder, with its messages in English."""
        return subprocess.run(
            ["git", "-c", "core.quotePath=false", *words],
            cwd=self.folder,
            env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=check,
        )

    def commit_of(self, folder: Path, index: Path, message: str, *parents: str) -> str:
        """Store the files below *folder* as a commit on no branch, and return its name.

        *folder* is the top of the work tree; git makes the file *index* to work with.
        """
        place = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(folder)}
        git_dir = self.ask("rev-parse", "--absolute-git-dir").strip()
        self.ask("-C", str(folder), "add", "--all", "--force", ".", GIT_DIR=git_dir, **place)
        tree = self.ask("write-tree", GIT_INDEX_FILE=str(index)).strip()
        lines = [word for parent in parents for word in ("-p", parent)]
        return self.ask("commit-tree", tree, *lines, "-m", message, **_AUTHOR).strip()
