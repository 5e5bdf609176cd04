"""`epm-task jobs` with the credential of the agent of these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from admin.admin_files import options_of
from cli.command_line import Finished, epm_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.testing import Agent


@pytest.fixture
def jobs(agent: Agent) -> Callable[..., Finished]:
    """`epm-task jobs VERB …` with the agent's admin credential."""

    def run(verb: str, *words: object) -> Finished:
        return epm_task("jobs", verb, *words, *options_of(agent))

    return run
