"""Both admin clients have the same methods; the results of one are awaited."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, assert_type

from epm_task.admin.answers import Done, JobList, Started, Verdict

if TYPE_CHECKING:
    from epm_task.admin.client import AdminClient, AsyncAdminClient


def waits(admin: AdminClient) -> None:
    """A synchronous method returns the result."""
    assert_type(admin.list_jobs(), JobList)
    assert_type(admin.get_job("probe"), dict[str, Any])
    assert_type(admin.save_job({"id": "probe"}), Done)
    assert_type(admin.validate_job({}), Verdict)
    assert_type(admin.trigger_job("probe", {"key": "value"}), Started)


async def awaits(admin: AsyncAdminClient) -> None:
    """An asynchronous method returns what is awaited for the same result."""
    assert_type(admin.list_jobs(), Awaitable[JobList])
    assert_type(await admin.list_jobs(), JobList)
    assert_type(await admin.get_job("probe"), dict[str, Any])
    assert_type(await admin.trigger_job("probe"), Started)


def refuses(admin: AdminClient) -> None:
    """A wrong argument is an error of the type checker."""
    admin.get_job(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
