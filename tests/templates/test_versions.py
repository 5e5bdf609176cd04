"""Tests that each version of the template stays obtainable, because `epm-task upgrade` needs it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from templates.rendering import TEMPLATE, TEMPLATES, files_below

from epm_task.scaffold.template import TemplateVersions

if TYPE_CHECKING:
    from pathlib import Path

_RULE = """
The template was changed. When version {version} has been released, keep it first:
    git archive --format=zip --output templates/older/{version}.zip RELEASE:templates/task
and raise _template_version in cookiecutter.json. Then write this to templates/fingerprint:
    {fingerprint}
"""


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path, content in sorted(files_below(folder).items()):
        digest.update(f"{path}\0".encode() + content.replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def test_a_change_of_the_template_is_noticed() -> None:
    """The fingerprint is written by hand, by who has thought of the version."""
    wanted = f"{TEMPLATE.version} {_fingerprint(TEMPLATE.folder)}"
    kept = (TEMPLATES / "fingerprint").read_text().strip()
    assert kept == wanted, _RULE.format(version=TEMPLATE.version, fingerprint=wanted)


@pytest.mark.parametrize("version", range(1, TEMPLATE.version + 1))
def test_every_version_is_kept(version: int, tmp_path: Path) -> None:
    """Each can be rendered, and calls itself by its number."""
    with TemplateVersions().get(version) as template:
        assert template.version == version
        assert (template.render({}, tmp_path) / "pyproject.toml").is_file()
