"""Tests of the asynchronous admin client against a real agent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import add_binary, credential_of, job_document
from peers.http_answer import silence
from peers.http_peer import HttpPeer

from epm_task.admin.async_client import AsyncAdminClient
from epm_task.admin.errors import AdminUnreachable, UnknownJob, WrongUse

if TYPE_CHECKING:
    from epm_task.testing import Agent


def test_calls_of_one_client_run_at_once(agent: Agent) -> None:
    """The results come in the order of the calls."""
    add_binary(agent)
    ids = [f"job-{number}" for number in range(20)]

    async def main() -> None:
        async with AsyncAdminClient(agent.base_url, credential_of(agent)) as admin:
            done = await asyncio.gather(*(admin.save_job(job_document(each)) for each in ids))
            assert [each.job_id for each in done] == ids
            assert (await admin.list_jobs()).count == 20

    asyncio.run(main())


def test_errors_are_raised_where_they_are_awaited(agent: Agent) -> None:
    """An id that cannot be sent is refused at the call itself."""

    async def main() -> None:
        async with AsyncAdminClient(agent.base_url, credential_of(agent)) as admin:
            with pytest.raises(UnknownJob):
                await admin.get_job("none")
            with pytest.raises(WrongUse):
                admin.get_job("a_b")

    asyncio.run(main())


def test_the_event_loop_goes_on_while_an_agent_is_silent() -> None:
    """A call waits in a thread, and ends by its own time."""

    async def main(url: str) -> None:
        async with AsyncAdminClient(url, call_seconds=0.3) as admin:
            call = asyncio.ensure_future(admin.health())
            ticks = 0
            while not call.done():
                await asyncio.sleep(0.01)
                ticks += 1
            assert ticks > 10
            with pytest.raises(AdminUnreachable, match="in time"):
                await call

    with HttpPeer([silence()]) as peer:
        asyncio.run(main(peer.base_url))
