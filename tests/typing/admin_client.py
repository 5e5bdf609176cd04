"""The methods of the admin client tell type checkers what they return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from epm_task.admin.answers import Done, JobList, Started, Verdict

if TYPE_CHECKING:
    from epm_task.admin.client import AdminClient


def returns(admin: AdminClient) -> None:
    """A method returns the typed result."""
    assert_type(admin.list_jobs(), JobList)
    assert_type(admin.get_job("probe"), dict[str, Any])
    assert_type(admin.save_job({"id": "probe"}), Done)
    assert_type(admin.validate_job({}), Verdict)
    assert_type(admin.trigger_job("probe", {"key": "value"}), Started)


def refuses(admin: AdminClient) -> None:
    """A wrong argument is an error of the type checker."""
    admin.get_job(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
