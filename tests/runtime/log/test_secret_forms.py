"""A secret is found in each form in which a run may write it, and nothing else is taken for one."""

from __future__ import annotations

import base64
import json
import reprlib
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers.patience import PATIENCE
from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from epm_task.contract.secrets import MASK
from epm_task.runtime.log.encoder import Secrets, safe_value

ODD = "pä\"ss'w/o r+d\\\\&%secret\n€\U0001f600!"
LONG = "".join(chr(97 + n % 26) + str(n % 10) for n in range(40))
KEY = f"-----BEGIN PRIVATE KEY-----\n  {LONG[:64]}\n{LONG[::-1][:64]}\n-----END PRIVATE KEY-----"


def hiding(*secrets: object) -> Secrets:
    """Return what hides these."""
    hidden = Secrets()
    hidden.add(secrets)
    return hidden


def shown_by(value: object) -> str:
    """Return how pydantic's error shows a value."""

    class Model(BaseModel):
        number: int

    with pytest.raises(ValidationError) as caught:
        Model(number=value)  # type: ignore[arg-type]
    return str(caught.value)


FORMS = {
    "as it is": ODD,
    "JSON": json.dumps(ODD),
    "JSON in Unicode": json.dumps(ODD, ensure_ascii=False),
    "JSON in JSON in JSON": json.dumps(json.dumps(json.dumps(ODD))),
    "JSON with escaped slashes": json.dumps(ODD).replace("/", "\\/"),
    "repr": repr(ODD),
    "repr with other quotes": repr(f"'{ODD}"),
    "ascii of repr": ascii(repr(ODD)),
    "repr of bytes": repr(ODD.encode()),
    "path of a URL": quote(ODD),
    "segment of a URL": quote(ODD, safe=""),
    "lower case in a URL": quote(ODD).replace("%C3%A4", "%c3%a4"),
    "form of a URL": quote_plus(ODD),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_escaped_forms_are_found(text: str) -> None:
    """JSON, Python and URLs escape it, each in its way, and one after the other."""
    hidden = hiding(ODD).hide(f"({text})")
    assert hidden.strip("()\"'b\\ ") == MASK


@pytest.mark.parametrize("secret", [ODD, LONG, KEY, "sixsix", b"\xff\xfe\x00key\x80"])
@pytest.mark.parametrize("before", [b"", b"a", b"user:", b"longer:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_found(secret: str | bytes, before: bytes, encode: object) -> None:
    """Wherever it begins in what is encoded, at most two characters of each end are left."""
    data = secret if isinstance(secret, bytes) else secret.encode()
    text = encode(before + data + b"!").decode()  # type: ignore[operator]
    hidden = hiding(secret).hide(text)
    assert MASK[:8] in hidden
    assert len(hidden.replace("*", "")) <= -(-len(before) * 8 // 6) + 4 + 5


CUT = {
    "pydantic": shown_by(LONG),
    "pydantic after a word": shown_by(f"Bearer {LONG}"),
    "pydantic in a mapping": shown_by({"token": LONG}),
    "pydantic at the end": shown_by(["x" * 40 + LONG]),
    "reprlib": reprlib.repr(LONG),
    "a long head": f"{LONG[:70]}",
}


@pytest.mark.parametrize("text", CUT.values(), ids=CUT)
def test_what_is_cut_short_is_found(text: str) -> None:
    """Errors show both ends of a long value with `...` between them, or only its beginning."""
    hidden = hiding(LONG).hide(text)
    assert MASK in hidden
    pieces = {LONG[at : at + 8] for at in range(len(LONG) - 8)}
    assert not [piece for piece in pieces if piece in hidden]


def test_each_line_of_a_key_is_found() -> None:
    """With its blanks and without; the line that says what it is, is no secret."""
    hidden = hiding(KEY)
    first, second = KEY.splitlines()[1:3]
    assert hidden.hide(f"{second}|{first}|{first.strip()}") == f"{MASK}|  {MASK}|{MASK}"
    assert hidden.hide("found: -----BEGIN PRIVATE KEY-----") == "found: -----BEGIN PRIVATE KEY-----"
    assert hidden.hide(f"<{KEY}>") == f"<{MASK}>"


@pytest.mark.parametrize(
    "secret",
    [
        *("hunter2-secret", b"hunter2-secret", bytearray(b"hunter2-secret")),
        *(SecretStr("hunter2-secret"), SecretBytes(b"hunter2-secret")),
    ],
)
def test_secrets_of_every_kind_are_taken(secret: object) -> None:
    """An author may give what the secret is in: a text, bytes, or pydantic's own kinds."""
    assert hiding(secret).hide("a hunter2-secret") == f"a {MASK}"


def test_bytes_that_are_no_text() -> None:
    """They are found in the form that records and results have for them, and as Python shows it."""
    key = b"\xffkey\x00\xfe"
    for text in (safe_value(key), repr(key), quote(key), ascii(safe_value(key))):
        assert hiding(key).hide(text).strip("b'") == MASK


@pytest.mark.parametrize(
    "text", [LONG[:40], LONG[12:60], "https://hooks.example.com/other", "-----BEGIN CERT", "..."]
)
def test_other_texts_stay(text: str) -> None:
    """A common beginning is no secret, nor is a part that no error would show."""
    assert hiding(LONG, "https://hooks.example.com/services/T0001/xyz", KEY).hide(text) == text


def test_numbers_and_names_of_json() -> None:
    """A secret of digits is found as a number; two secret names remain two names."""
    written = '{"a":4815162342,"b":48151623420,"first-secret":1,"second-secret":{"x":[1.5,true]}}'
    hidden = hiding("4815162342", "first-secret", "second-secret").hide_json(written)
    assert json.loads(hidden) == {
        "a": MASK,
        "b": 48151623420,
        MASK: 1,
        f"{MASK} (3)": {"x": [1.5, True]},
    }


@settings(max_examples=200)
@given(st.text(st.characters(exclude_characters="*"), min_size=6, max_size=60), st.text(max_size=5))
def test_any_secret_is_found(secret: str, around: str) -> None:
    """Whatever characters it has, lone surrogates too, nothing raises, and it is not there."""
    hidden = hiding(secret)
    for text in (secret, repr(secret), json.dumps(secret)):
        assert text not in hidden.hide(f"{around}{text}{around}")


@pytest.mark.parametrize(
    "text", ["\\" * 100_000 + LONG, f"ab\"'{LONG}" * 2_000, "..." * 30_000 + LONG]
)
def test_no_text_makes_the_search_slow(text: str) -> None:
    """The time grows with the text, and not with its square: these would take minutes."""
    hidden = hiding(f'ab"\'\\"{LONG}\\\\!')
    begins = time.thread_time()
    hidden.hide(text)
    assert time.thread_time() - begins < PATIENCE


def test_a_large_secret_is_found_soon() -> None:
    """A file of 64 KiB is a secret, too; one pattern for all of it would take long to make."""
    begins = time.thread_time()
    hidden = hiding("Zz9-" * 16_384).hide(f"({'Zz9-' * 16_384})")
    assert hidden.strip("(*)") == ""
    assert time.thread_time() - begins < PATIENCE
