"""Tests of the rule of secrets."""

from __future__ import annotations

import pytest
from job.rules.one_document import with_arguments


@pytest.mark.parametrize(
    "arguments",
    [
        '--x="{ApiToken}"',
        "{password}",
        "--x {ClientSecret}",
        "--db-password=hunter2",
        "--api-key abc",
        "-token=abc",
        '--x="{Credentials}"',
    ],
)
def test_secrets_by_their_names(arguments: str) -> None:
    """A token, or an option with a value."""
    (found,) = with_arguments("EPM022", arguments)
    assert "looks like a secret" in found


@pytest.mark.parametrize(
    "arguments",
    [
        '--token-file="{TokenFile}"',
        "--password-path=/etc/x",
        "--max-tokens-per-run=5",
        "--tokenize=yes",
        '"{SecretName}"',
        "--passwords-file={PasswordFile}",
        "--no-password --other",
    ],
)
def test_names_of_files_are_no_secrets(arguments: str) -> None:
    """Nor are words that only hold one."""
    assert with_arguments("EPM022", arguments) == []
