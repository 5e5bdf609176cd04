"""An upgrade is the three-way merge of a project with the newer version of its template.

Git does it. Two commits are made that are on no branch: the project as the old version makes it,
then as the new one does. `git cherry-pick --no-commit` carries the difference between them over to
the work tree, so renames, deletions and conflicts are treated and shown as in any other merge.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.scaffold.git_repository import GitRepository
from epm_task.scaffold.origin import Origin
from epm_task.scaffold.scaffold_error import ScaffoldError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.scaffold.question import Answer
    from epm_task.scaffold.shelf import Shelf
    from epm_task.scaffold.template import Template

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


def upgrade(project: Path, shelf: Shelf, changes: Mapping[str, Answer]) -> Upgraded:
    """Bring *project* to the shelf's current template.

    Args:
        project: The folder with the project's pyproject.toml.
        shelf: The templates.
        changes: Answers that shall differ from those the project was made with.

    Raises:
        ScaffoldError: The project cannot be upgraded; it says why.
    """
    origin, newest = Origin.of(project), shelf.current
    if origin.version > newest.version:
        raise ScaffoldError(
            f"{project} was made from version {origin.version} of the template, and this epm-task "
            f"has version {newest.version}",
            "install a newer epm-task",
        )
    answers = {**origin.answers, **changes}
    if changes.get("name", origin.answers.get("name")) != origin.answers.get("name"):
        raise ScaffoldError("an upgrade does not rename a task", "leave name= out")
    if (origin.version, origin.answers) == (newest.version, answers):
        return Upgraded(origin.version, newest.version, [], [])
    with shelf.of_version(origin.version) as oldest:
        return _merge(_clean(project), (oldest, origin.answers), (newest, answers))


def _clean(project: Path) -> GitRepository:
    git = GitRepository(project)
    if changes := git.changes():
        shown = ", ".join(line[3:] for line in changes[:_SHOWN])
        more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        raise ScaffoldError(
            f"{project} has changes that are not committed: {shown}{more}",
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
        raise ScaffoldError(f"git refused the merge: {picked.stderr.strip()}", "see what git says")
    lines = git.ask("diff", "--cached", "--name-status", "--relative", "HEAD").splitlines()
    changed = [(line[0], line.partition("\t")[2]) for line in lines]
    return Upgraded(
        old[0].version,
        new[0].version,
        [(letter, path) for letter, path in changed if letter != "U"],
        conflicts,
    )


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
                "commit it, or move it away",
            )


def _render(template: Template, answers: Mapping[str, Answer], place: Path) -> None:
    """Render the project, so that its folder is *place*."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place.parent) as aside:
        template.render(answers, Path(aside)).rename(place)
