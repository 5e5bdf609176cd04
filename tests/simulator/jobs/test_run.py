"""Tests of what came of a run."""

from __future__ import annotations

from epm_task.simulator.jobs.run import Run, TaskRun


def test_exit_code_and_result_of_a_run():
    """The first failure counts, and the last result."""
    tasks = [TaskRun("a", result={"a": 1}), TaskRun("b", exit_code=2), TaskRun("c", exit_code=3)]
    run = Run("r", "j", "t", tasks)
    assert (run.exit_code, run.result) == (2, {"a": 1})
    assert Run("r", "j", "t", problem="x").exit_code == 1
    assert Run("r", "j", "t").result is None


def test_outputs_are_those_of_the_last_task_that_ran():
    """A skipped task has none; a run without tasks has none either."""
    tasks = [TaskRun("a", 7, stdout=b"out", stderr=b"err"), TaskRun("b", skipped="setting")]
    run = Run("r", "j", "t", tasks)
    assert (run.stdout, run.stderr, run.pid, run.timed_out) == (b"out", b"err", 7, False)
    empty = Run("r", "j", "t")
    assert (empty.stdout, empty.stderr, empty.pid, empty.timed_out) == (b"", b"", None, False)
