"""A git repository is asked, and changed, by the git of this machine."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

from epm_task.scaffold.scaffold_error import ScaffoldError

if TYPE_CHECKING:
    from pathlib import Path

#: The commits that a merge needs for a moment; they are on no branch.
_SOMEBODY: Final = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "epm-task"), ("EMAIL", "epm-task@localhost"))
}


class GitRepository:
    """The repository in which a folder lies.

    Args:
        folder: A folder in its work tree.

    Attributes:
        folder: The same.
        prefix: The folder, as seen from the top of the work tree; empty for the top.

    Raises:
        ScaffoldError: There is no git, or the folder lies in no work tree.
    """

    def __init__(self, folder: Path) -> None:
        """Find the repository."""
        self.folder: Final = folder
        try:
            self.prefix: Final = self.ask("rev-parse", "--show-prefix").strip()
        except FileNotFoundError as error:
            raise ScaffoldError("there is no git on this machine", "install git") from error
        except subprocess.CalledProcessError as error:
            raise ScaffoldError(
                f"{folder} is in no git repository, so an upgrade could not be undone",
                "`git init`, `git add .`, `git commit`, then again",
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

    def changes(self) -> list[str]:
        """Return what is not committed, as `git status --porcelain` shows it."""
        return self.ask("status", "--porcelain").splitlines()

    def commit_of(self, folder: Path, index: Path, message: str, *parents: str) -> str:
        """Store the files below *folder* as a commit on no branch, and return its name.

        Args:
            folder: What stands for the top of the work tree.
            index: A file that does not exist, for git to work with.
            message: The commit's message.
            *parents: Names of commits.
        """
        place = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(folder)}
        git_dir = self.ask("rev-parse", "--absolute-git-dir").strip()
        self.ask("-C", str(folder), "add", "--all", "--force", ".", GIT_DIR=git_dir, **place)
        tree = self.ask("write-tree", GIT_INDEX_FILE=str(index)).strip()
        lines = [word for parent in parents for word in ("-p", parent)]
        return self.ask("commit-tree", tree, *lines, "-m", message, **_SOMEBODY).strip()
