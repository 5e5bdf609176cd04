"""The job document: made from tasks, parsed with places, checked by rules."""

from epm_task.job.job import Job

__all__ = ["Job"]
