"""Tests of the bill of materials: CycloneDX reads it, and the same content gives the same bytes."""

from __future__ import annotations

import json
from importlib.metadata import version

from cyclonedx.model.bom import Bom

from epm_task import __homepage__, __version__
from epm_task.freeze.sbom import Library, bill_of_materials, libraries_in, python_version

LIBRARIES = [Library("httpx", "0.28.1", "BSD-3-Clause"), Library("own", "1", "our own licence")]
DIGESTS = {"_internal/libssl.so.3": "ab" * 32}


def bill(version: str = "1.2.3") -> bytes:
    """Return the bill of materials of a program."""
    return bill_of_materials("KeyScanner", version, LIBRARIES, DIGESTS, 1_700_000_000)


def test_it_is_cyclonedx() -> None:
    """Libraries with their package URL, native files with their digest."""
    document = json.loads(bill())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == "KeyScanner"
    assert document["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    (tool,) = document["metadata"]["tools"]["components"]
    assert (tool["name"], tool["version"]) == ("epm-task", __version__)
    assert tool["externalReferences"] == [{"type": "website", "url": __homepage__}]
    parts = {part["name"]: part for part in document["components"]}
    assert parts["httpx"]["purl"] == "pkg:pypi/httpx@0.28.1"
    assert parts["httpx"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert parts["own"]["licenses"] == [{"license": {"name": "our own licence"}}]
    assert parts["python"]["type"] == "platform"
    assert parts["_internal/libssl.so.3"]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    read = Bom.from_json(document)  # type: ignore[attr-defined]  # made by a decorator
    assert len(read.components) == 4


def test_the_same_content_gives_the_same_bytes() -> None:
    """Serial number and time come from the content."""
    assert bill() == bill()
    assert bill() != bill("1.2.4")


def test_files_lead_to_their_distributions() -> None:
    """Sorted, ours included; compiled or not; what belongs to nobody counts for nothing."""
    names = ["httpx/__init__.pyc", "structlog/dev.py", "json/__init__.pyc", "my_task.pyc"]
    found = libraries_in(names)
    assert [(one.name, one.version) for one in found] == [
        ("epm-task", __version__),
        ("httpx", version("httpx")),
        ("structlog", version("structlog")),
    ]
    assert all(one.licence for one in found)
    assert python_version().count(".") == 2
