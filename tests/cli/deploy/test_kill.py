"""A killed `epm-task deploy apply` leaves the old or the new version; the next one ends it."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import options_of
from admin.deploy.bundle_files import installed, write_bundle

if TYPE_CHECKING:
    from cli.deploy.forked import Forked

    from epm_task.testing import Agent

#: One that fails would be rolled back, so each of them ends well.
SCRIPT = "#!/bin/sh\nexit 0\n# edition {}\n"


class Editions:
    """Deploys one edition after the other; each has its own program and its own name."""

    def __init__(self, agent: Agent, forked: Forked) -> None:
        self._agent = agent
        self._forked = forked
        self.number = 0

    def words(self, *more: str) -> list[Any]:
        """Return the command line of an apply."""
        agent = self._agent
        words = ["deploy", "apply", "dist", "--yes", "--agent-root", agent.root]
        return [*words, *options_of(agent), *more]

    def write_next(self) -> None:
        """Write the next edition into `dist`."""
        self.number += 1
        write_bundle(Path("dist"), SCRIPT.format(self.number), name=f"Edition {self.number}")

    def apply(self) -> str:
        """Apply what is in `dist` and check that all of it is in place; return what was said."""
        assert self._forked.run(*self.words()) == 0, self._forked.output
        assert self._in_place() == (self.number, self.number), self._forked.output
        root = self._agent.root / "epm-task"
        assert not (root / "journal.json").exists()
        assert not list((root / "staging").iterdir())
        assert not list((root / "versions").rglob(".partial"))
        return self._forked.output

    def seconds(self) -> float:
        """Return how long the apply of the next edition takes."""
        self.write_next()
        began = time.monotonic()
        assert self._forked.run(*self.words()) == 0, self._forked.output
        return time.monotonic() - began

    def check_whole(self) -> None:
        """Fail unless program and job are each the old or the new edition."""
        either = {self.number - 1, self.number}
        assert {*self._in_place()} <= either, self._forked.output

    def _in_place(self) -> tuple[int, int]:
        script = installed(self._agent)  # fails when its two files are of two editions
        name = self._agent.call_in_loop(lambda: self._agent._local.jobs.get("probe"))["name"]
        assert script is not None
        return int(script.split()[-1]), int(name.split()[-1])


@pytest.fixture
def editions(agent: Agent, forked: Forked) -> Editions:
    """The first edition is in place."""
    made = Editions(agent, forked)
    made.write_next()
    made.apply()
    return made


def _kill_at_random(editions: Editions, forked: Forked, times: int) -> None:
    seconds = min(editions.seconds() for _ in range(2))
    chance = random.Random(times)
    killed = 0
    for number in range(times):
        # Trying the job takes longer than all the rest, so only some do.
        trigger = ["--trigger"] if number % 5 == 4 else []
        editions.write_next()
        forked.start(*editions.words(*trigger))
        time.sleep(chance.uniform(0, seconds * (3 if trigger else 1)))
        killed += forked.kill() == -9
        editions.check_whole()
        editions.apply()
    assert killed > times / 4  # the others had ended already


def test_a_kill_at_any_instant_leaves_one_version(editions: Editions, forked: Forked) -> None:
    """Ten random instants of an apply, and three where a process starts slowly."""
    _kill_at_random(editions, forked, 10 if os.name == "posix" else 3)


@pytest.mark.slow
def test_two_hundred_kills_leave_one_version_each(editions: Editions, forked: Forked) -> None:
    """Two hundred random instants of an apply."""
    _kill_at_random(editions, forked, 200)


@pytest.mark.parametrize(
    ("words", "undone"),
    [
        ("is to come", "'save' and is undone"),
        ("copy the programs", "is undone"),
        ("swap the programs", "is undone"),
        ("for its verdict", "is undone"),
        ("register the jobs", "is undone"),
        ("try the jobs", "'trigger' and is undone"),
        ("tidy up", "finished now"),
    ],
)
def test_a_kill_in_each_step_is_put_right_and_told(
    words: str, undone: str, editions: Editions, forked: Forked
) -> None:
    """The next apply says what it found; the program may be some steps ahead of the kill."""
    editions.write_next()
    forked.start(*editions.words("--trigger"))
    code = forked.kill_at(words)
    editions.check_whole()
    said = editions.apply()
    ended = code == 0 or said.startswith("Nothing to do")
    assert undone in said or "is undone" in said or "finished now" in said or ended
