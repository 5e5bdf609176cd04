"""Give tests of tasks a running agent; pytest loads this plugin by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from epm_task.simulator.trace import Trace
    from epm_task.testing import Agent, Run

#: Traces that the running test has used, each with the place where the test began.
_TRACES = pytest.StashKey[list[tuple["Trace", int]]]()


@pytest.fixture(scope="session")
def epm_task_server() -> Iterator[Agent]:
    """The one agent of this test process, started when a test first needs it."""
    with _agent_type()() as running:
        yield running


@pytest.fixture
def agent(epm_task_server: Agent, request: pytest.FixtureRequest) -> Iterator[Agent]:
    """A running agent, with neither jobs nor settings nor faults of another test."""
    _remember(request.node, epm_task_server)
    yield epm_task_server
    epm_task_server.reset()


@pytest.fixture
def agent_factory(request: pytest.FixtureRequest) -> Iterator[Callable[..., Agent]]:
    """A function that starts an agent with the options of `Agent`; all are stopped at the end."""
    agent_type = _agent_type()
    running: list[Agent] = []

    def _start(**options: Any) -> Agent:
        made = agent_type(**options)
        made.open()
        running.append(made)
        _remember(request.node, made)
        return made

    yield _start
    for made in running:
        made.close()


@pytest.fixture
def run_task(agent: Agent) -> Callable[..., Run]:
    """`agent.run`, for tests that need nothing else of the agent."""
    return agent.run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],  # noqa: ARG001  # pytest calls by name
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the agent decided below the assertion that failed."""
    report = yield
    if report.failed:
        for trace, mark in item.stash.get(_TRACES, []):
            lines = [f"{'denied  ' if e.denied else '        '}{e}" for e in trace.since(mark)]
            report.sections.append(("trace of the agent", "\n".join(lines)))
    return report


def _agent_type() -> type[Agent]:
    """Return `Agent`; skip the test when the packages of the simulator are not installed."""
    try:
        from epm_task.testing import Agent  # noqa: PLC0415  # 0.2 s that other tests need not pay
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("epm_task"):
            raise
        why = f"the package {error.name} is not installed"
        pytest.skip(f'{why}; pip install "epm-task[tools]"')
    return Agent


def _remember(item: pytest.Item, made: Agent) -> None:
    traces = item.stash.setdefault(_TRACES, [])
    traces.append((made.trace, made.trace.mark()))
