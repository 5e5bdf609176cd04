"""Write the bill of materials of a program (SBOM), as CycloneDX 1.6."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID, uuid5

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import is_expression, is_supported_id
from packageurl import PackageURL

from epm_task import __homepage__, __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NAME: Final = "sbom.cdx.json"

#: Any constant would do: the serial number must be the same for the same content.
_NAMESPACE: Final = UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")
#: Version and requirements of a distribution, old and new form, and its plugins.
_METADATA: Final = ("METADATA", "PKG-INFO", "entry_points.txt")


class Library(NamedTuple):
    """One library: its normalised name, and the SPDX expression or other words of its licence."""

    name: str
    version: str
    licence: str


def libraries_in(names: Iterable[str]) -> list[Library]:
    """Return the distributions to which files belong, ours included, sorted by name.

    The files are relative to `site-packages`; modules may be compiled.
    """
    found = {"epm-task": Library("epm-task", __version__, "MIT")}
    for name, distribution in _distributions_of(names).items():
        if name not in found:
            found[name] = Library(name, distribution.version, _licence_of(distribution))
    return [found[name] for name in sorted(found)]


def metadata_files(names: Iterable[str]) -> dict[str, str]:
    """Return what `importlib.metadata` reads of the same distributions: source by path inside.

    Not what differs from one installation to the next, such as the list of installed files.
    """
    return {
        file.as_posix(): str(distribution.locate_file(file))
        for distribution in _distributions_of(names).values()
        for file in distribution.files or ()
        if file.name in _METADATA and file.parent.suffix in {".dist-info", ".egg-info"}
    }


def _distributions_of(names: Iterable[str]) -> dict[str, metadata.Distribution]:
    wanted = {_stem(name) for name in names}
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        # Ours may be installed as a link to its sources.
        inside = name == "epm-task" or any(
            _stem(file.as_posix()) in wanted for file in distribution.files or ()
        )
        if name and inside:
            found.setdefault(name, distribution)
    return found


def _stem(name: str) -> str:
    path = PurePosixPath(PurePath(name).as_posix())
    return str(path.with_suffix("") if path.suffix in {".py", ".pyc"} else path)


def _licence_of(distribution: metadata.Distribution) -> str:
    said = distribution.metadata
    for name in ("License-Expression", "License"):
        text = (said.get_all(name) or [""])[0]
        if text and "\n" not in text:
            return str(text)
    classifiers = [c for c in said.get_all("Classifier") or () if c.startswith("License ::")]
    return classifiers[0].rpartition(" :: ")[2] if classifiers else ""


def python_version() -> str:
    """Return the version of the interpreter that is inside: 3.11.7."""
    return ".".join(map(str, sys.version_info[:3]))


def bill_of_materials(
    command: str,
    version: str,
    libraries: Sequence[Library],
    digests: Mapping[str, str],
    epoch: int,
) -> bytes:
    """Return the document; the same content gives the same bytes.

    *digests* holds the SHA-256 of the native files by path, and *epoch* is the second of the build.
    """
    whole = Component(
        name=command, version=version, type=ComponentType.APPLICATION, bom_ref=command
    )
    python = Component(
        name="python", version=python_version(), type=ComponentType.PLATFORM, bom_ref="python"
    )
    inside = [
        python,
        *(_library(library) for library in libraries),
        *(_file(path, digest) for path, digest in digests.items()),
    ]
    facts = f"{command} {version} {sorted(digests.items())} {epoch}"
    bom = Bom(
        metadata=BomMetaData(
            component=whole, timestamp=datetime.fromtimestamp(epoch, UTC), tools=_tools()
        ),
        components=inside,
        serial_number=uuid5(_NAMESPACE, facts),
    )
    bom.register_dependency(whole, inside)
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=2).encode() + b"\n"


def _tools() -> ToolRepository:
    """Return what has made the document."""
    home = ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(__homepage__))
    ours = Component(
        name="epm-task",
        version=__version__,
        type=ComponentType.APPLICATION,
        external_references=[home],
    )
    return ToolRepository(components=[ours])


def _library(library: Library) -> Component:
    url = PackageURL("pypi", None, library.name, library.version)
    return Component(
        name=library.name,
        version=library.version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=str(url),
        licenses=[_licence(library.licence)] if library.licence else [],
    )


def _licence(words: str) -> License:
    if is_supported_id(words):
        return DisjunctiveLicense(id=words)
    if is_expression(words):
        return LicenseExpression(words)
    return DisjunctiveLicense(name=words)


def _file(path: str, digest: str) -> Component:
    return Component(
        name=path,
        type=ComponentType.FILE,
        bom_ref=f"file:{path}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )
