"""Tests of recognising secrets by their names and types."""

from __future__ import annotations

import subprocess
import sys

import pytest
from peers.patience import PATIENCE
from pydantic import SecretBytes, SecretStr

from epm_task.contract.secrets import (
    hide_options,
    is_secret_name,
    mask_text,
    names_secret_itself,
    secret_form,
    secret_options,
)


@pytest.mark.parametrize(
    "name",
    [
        "db.password",
        "PASSWD",
        "clientSecret",
        "api_key",
        "ApiKey",
        "private-key",
        "auth",
        "user.token",
    ],
)
def test_secret_names(name: str) -> None:
    """Names in any spelling are recognised."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["broker.host", "author", "max_bytes", "spinner", "keyboard"])
def test_other_names(name: str) -> None:
    """A part of another word is not a secret."""
    assert not is_secret_name(name)


def test_text() -> None:
    """What follows a secret name is masked, quoted or not."""
    text = "password: \"a b\" api_key=x1; user=me 'token'='t'"
    masked = mask_text(text)
    assert "a b" not in masked
    assert "x1" not in masked
    assert "'t'" not in masked
    assert "user=me" in masked


def test_any_text_is_read_in_a_time_that_grows_with_its_length() -> None:
    """A task may write whatever it likes, and an agent waits meanwhile."""
    code = (
        "from epm_task.contract.secrets import mask_text\n"
        "for one in ('a', 'token', 'x-token.', 'token ', 'token=\"'): mask_text(one * 10_000)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("Token", True),
        ("ApiKeys", True),
        ("DB_PASSWD", True),
        ("TokenFile", False),
        ("Auth", False),
    ],
)
def test_an_argument_is_a_secret_by_the_end_of_its_name(name: str, *, secret: bool) -> None:
    """What only leads to one, or says how somebody is known, is not."""
    assert names_secret_itself(name) is secret


def test_options_are_found_and_their_values_hidden() -> None:
    """A token in braces is not a value, and `--token-file` names a file."""
    line = "--password=x --api-key y --token={Token} --token-file=/z --name=token"
    assert secret_options(line) == ["--password", "--api-key", "--token"]
    hidden = hide_options(f'"{line}"')
    assert hidden == (
        '"--password=(hidden) --api-key (hidden) --token={Token} --token-file=/z --name=token"'
    )


@pytest.mark.parametrize(
    ("kind", "form"), [(SecretStr, "text"), (SecretBytes, "bytes"), (str, ""), (None, "")]
)
def test_a_type_says_what_its_secret_is(kind: object, form: str) -> None:
    """Without an import of pydantic."""
    assert secret_form(kind) == form
