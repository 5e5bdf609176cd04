"""Tests of the bill of materials: CycloneDX reads it, and the same content gives the same bytes."""

from __future__ import annotations

import json
from importlib.metadata import version

from cyclonedx.model.bom import Bom

from epm_task import __version__
from epm_task.freeze.sbom import Component, Inside, bill_of_materials, components_of, python_version

INSIDE = Inside(
    "KeyScanner",
    "1.2.3",
    [Component("httpx", "0.28.1", "BSD-3-Clause"), Component("own", "1", "our own licence")],
    "3.11.7",
    {"_internal/libssl.so.3": "ab" * 32},
    1_700_000_000,
)


def test_it_is_cyclonedx():
    """Libraries with their package URL, native files with their digest."""
    document = json.loads(bill_of_materials(INSIDE))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == "KeyScanner"
    assert document["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    parts = {part["name"]: part for part in document["components"]}
    assert parts["httpx"]["purl"] == "pkg:pypi/httpx@0.28.1"
    assert parts["httpx"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert parts["own"]["licenses"] == [{"license": {"name": "our own licence"}}]
    assert parts["python"]["type"] == "platform"
    assert parts["_internal/libssl.so.3"]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    read = Bom.from_json(document)  # type: ignore[attr-defined]  # made by a decorator
    assert len(read.components) == 4


def test_the_same_content_gives_the_same_bytes():
    """Serial number and time come from the content."""
    assert bill_of_materials(INSIDE) == bill_of_materials(INSIDE)
    assert bill_of_materials(INSIDE) != bill_of_materials(INSIDE._replace(version="1.2.4"))


def test_files_lead_to_their_distributions():
    """Sorted, ours included; compiled or not; what belongs to nobody counts for nothing."""
    names = ["httpx/__init__.pyc", "structlog/dev.py", "json/__init__.pyc", "my_task.pyc"]
    found = components_of(names)
    assert [(one.name, one.version) for one in found] == [
        ("epm-task", __version__),
        ("httpx", version("httpx")),
        ("structlog", version("structlog")),
    ]
    assert all(one.licence for one in found)
    assert python_version().count(".") == 2
