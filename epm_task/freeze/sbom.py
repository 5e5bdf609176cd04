"""A bill of materials lists what is inside a program, in the form of CycloneDX."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID, uuid5

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component as Part
from cyclonedx.model.component import ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import is_expression, is_supported_id
from packageurl import PackageURL

from epm_task import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Component(NamedTuple):
    """One library.

    Attributes:
        name: Its name on the package index, normalised.
        version: The version that is inside.
        licence: SPDX expression or the words of its metadata; "" when it says nothing.
    """

    name: str
    version: str
    licence: str


def components_of(names: Iterable[str]) -> list[Component]:
    """Return the distributions to which files belong, ours included, sorted by name.

    Args:
        names: Paths of the files relative to `site-packages`; modules may be compiled.
    """
    wanted = {_stem(name) for name in names}
    found = {"epm-task": Component("epm-task", __version__, "MIT")}
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if not name or name in found:
            continue
        if any(_stem(file.as_posix()) in wanted for file in distribution.files or ()):
            found[name] = Component(
                name, distribution.version, _licence_of_components(distribution)
            )
    return [found[name] for name in sorted(found)]


def _stem(name: str) -> str:
    path = PurePosixPath(PurePath(name).as_posix())
    return str(path.with_suffix("") if path.suffix in {".py", ".pyc"} else path)


def python_version() -> str:
    """Return the version of the interpreter that is inside: 3.11.7."""
    return ".".join(map(str, sys.version_info[:3]))


def _licence_of_components(distribution: metadata.Distribution) -> str:
    words = distribution.metadata
    for name in ("License-Expression", "License"):
        said = (words.get_all(name) or [""])[0]
        if said and "\n" not in said:
            return str(said)
    classifiers = [c for c in words.get_all("Classifier") or () if c.startswith("License ::")]
    return classifiers[0].rpartition(" :: ")[2] if classifiers else ""


NAME: Final = "sbom.cdx.json"

#: Any constant would do: the serial number must be the same for the same content.
_NAMESPACE: Final = UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")


class Inside(NamedTuple):
    """What is inside one program.

    Attributes:
        command: Name of the program.
        version: Its version.
        components: The libraries.
        python: Version of the interpreter.
        digests: SHA-256 of the native files, by path in the folder.
        epoch: Second that stands for now.
    """

    command: str
    version: str
    components: Sequence[Component]
    python: str
    digests: Mapping[str, str]
    epoch: int


def bill_of_materials(inside: Inside) -> bytes:
    """Return the document."""
    whole = Part(
        name=inside.command,
        version=inside.version,
        type=ComponentType.APPLICATION,
        bom_ref=inside.command,
    )
    parts = [
        Part(name="python", version=inside.python, type=ComponentType.PLATFORM, bom_ref="python"),
        *(_library(component) for component in inside.components),
        *(_file(path, digest) for path, digest in inside.digests.items()),
    ]
    moment = datetime.fromtimestamp(inside.epoch, UTC)
    facts = f"{inside.command} {inside.version} {sorted(inside.digests.items())} {inside.epoch}"
    bom = Bom(
        metadata=BomMetaData(component=whole, timestamp=moment),
        components=parts,
        serial_number=uuid5(_NAMESPACE, facts),
    )
    bom.register_dependency(whole, parts)
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=2).encode() + b"\n"


def _library(component: Component) -> Part:
    url = PackageURL("pypi", None, component.name, component.version)
    return Part(
        name=component.name,
        version=component.version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=str(url),
        licenses=[_licence(component.licence)] if component.licence else [],
    )


def _licence(words: str) -> License:
    if is_supported_id(words):
        return DisjunctiveLicense(id=words)
    if is_expression(words):
        return LicenseExpression(words)
    return DisjunctiveLicense(name=words)


def _file(path: str, digest: str) -> Part:
    return Part(
        name=path,
        type=ComponentType.FILE,
        bom_ref=f"file:{path}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )
