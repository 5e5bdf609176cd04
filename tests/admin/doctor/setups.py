"""What the tests of the checks share: set-ups, and what a check sees in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from admin.admin_files import job_document

from epm_task.admin.credential import Credential
from epm_task.admin.doctor.finding import Finding, Setup
from epm_task.admin.settings import DEFAULT_BASE_URL, AdminSettings
from epm_task.contract.layout import AgentRoot
from epm_task.errors import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def setup_of(root: Path | None = None, base_url: str = DEFAULT_BASE_URL, **more: Any) -> Setup:
    """Return a set-up without a credential."""
    settings = AdminSettings(base_url, more.pop("credential", Credential()), {})
    return Setup(settings, root=AgentRoot(root) if root else None, **more)


def seen(check: Callable[[Setup], Iterator[Finding]], setup: Setup) -> list[tuple[str, str]]:
    """Return state and sentence of each finding."""
    return [(found.state.value, sentence(found.what, found.why)) for found in check(setup)]


def with_document(root: Path, **fields: Any) -> Setup:
    """Return a set-up whose document is known."""
    setup = setup_of(root, job_id="probe")
    setup.document = job_document(**fields)
    return setup
