"""A live inspector adds a running agent's verdict to what the rules find in a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from epm_task.admin.live import live_verdict
from epm_task.job.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.admin.client import AdminClient
    from epm_task.cli.lint_target import LintTarget
    from epm_task.job.rule import Severity

#: Stands where the code of a rule stands; the agent's own words have none.
AGENT: Final = "AGENT"


def live_inspector(admin: AdminClient) -> Callable[[LintTarget], list[Finding]]:
    """Return what asks the agent about one document; nothing is stored there.

    It raises AdminError when the agent cannot be asked.
    """

    def inspect(target: LintTarget) -> list[Finding]:
        if target.subject is None:
            return []
        verdict = live_verdict(admin, target.subject.document.raw)
        refusals = [
            _finding(target, "error", f"the agent refuses the job: {error}")
            for error in verdict.errors
        ]
        doubts = [
            _finding(target, "warning", f"the agent takes the job, and says: {warning}")
            for warning in verdict.warnings
        ]
        return refusals + doubts

    return inspect


def _finding(target: LintTarget, severity: Severity, what: str) -> Finding:
    fix = "correct the document; the agent's own files, such as the binary, must be in place"
    return Finding(target.name, target.line, 1, AGENT, severity, "", what, fix)
