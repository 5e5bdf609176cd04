"""SARIF is the format in which code hosts and editors take findings (OASIS, version 2.1.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from epm_task import __version__
from epm_task.job.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.job.rule import Finding

_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the SARIF log of one run; its columns count characters."""
    driver = {
        "name": "epm-task",
        "semanticVersion": __version__,
        "rules": [
            {
                "id": rule.code,
                "shortDescription": {"text": rule.title},
                "fullDescription": {"text": rule.page.partition("\n")[0]},
                "help": {"text": rule.page, "markdown": rule.page},
                "defaultConfiguration": {"level": rule.severity},
            }
            for rule in RULES.values()
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding) for finding in findings],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(finding.file.replace("\\", "/"), safe="/:.-_~")},
            "region": {"startLine": finding.line, "startColumn": finding.column},
        }
    }
    if finding.pointer:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.pointer}]
    index = {"ruleIndex": list(RULES).index(finding.code)} if finding.code in RULES else {}
    return {
        "ruleId": finding.code,
        **index,
        "level": finding.severity,
        "message": {"text": f"{finding.what}; {finding.fix}"},
        "locations": [location],
    }
