"""A task file is read by `epm_task.job.task_file`; this is its former place."""

from __future__ import annotations

from epm_task.job.task_file import NoSuchTask, TaskFileError, find_task, tasks_in

__all__ = ["NoSuchTask", "TaskFileError", "find_task", "tasks_in"]
