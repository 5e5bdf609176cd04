"""Tasks in code, from which the tests build jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.job.task_file import TaskFile, read_task_file

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.job import Job

HEAD = """
import datetime
import enum
from pathlib import Path
from typing import Literal
from pydantic import BaseModel, SecretStr
from epm_task import TaskContext, Topic, task
from epm_task.job import Job
"""


def declared(folder: Path, code: str, name: str = "my_scan.py") -> TaskFile:
    """Write a Python file with *code*, and return what it declares."""
    path = folder / name
    path.write_text(HEAD + code)
    return read_task_file(path)


def only_job(folder: Path, code: str, name: str = "my_scan.py") -> Job:
    """Return the one job that *code* declares."""
    (job,) = declared(folder, code, name).all_jobs()
    return job


def task_with(parameters: str) -> str:
    """Return the code of a task with these parameters."""
    return f'''
@task
def scan(*, {parameters}) -> None:
    """Scan."""
'''
