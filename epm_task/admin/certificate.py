"""A certificate is read here as far as a person asks: whose it is, who issued it, when it ends.

Python's `ssl` does not tell the dates of a certificate that it loads, so that an expired one is
noticed as a refusal that has no reason. X.509 is DER; the path to these fields is RFC 5280, 4.1.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME: Final = 0x17
_VERSION: Final = 0xA0
#: id-at-commonName, 2.5.4.3, as DER.
_COMMON_NAME: Final = b"\x06\x03\x55\x04\x03"
#: The low bits of the first length byte say how many bytes of length follow.
_LONG: Final = 0x80


class Certificate(NamedTuple):
    """The facts of one certificate.

    Attributes:
        subject: Its name, as DER, to be compared.
        issuer: The name of the authority that signed it, as DER.
        begins: First moment of its validity.
        ends: Last moment of its validity.
    """

    subject: bytes
    issuer: bytes
    begins: datetime
    ends: datetime

    @property
    def common_name(self) -> str:
        """The subject's common name; empty when it has none."""
        return _common_name(self.subject)

    @property
    def issuer_name(self) -> str:
        """The issuer's common name; empty when it has none."""
        return _common_name(self.issuer)

    def out_of_date(self, now: datetime) -> str:
        """Return why it is not valid at *now*; empty when it is."""
        if now > self.ends:
            return f"it expired on {self.ends:%Y-%m-%d %H:%M} UTC"
        if now < self.begins:
            return f"it is valid only from {self.begins:%Y-%m-%d %H:%M} UTC on"
        return ""


def read_pem(data: bytes) -> Certificate:
    """Return the first certificate of a PEM text.

    Raises:
        ValueError: There is none, or it is no X.509.
    """
    found = _PEM.search(data)
    if found is None:
        raise ValueError("it holds no certificate in PEM form")
    return read_der(ssl.PEM_cert_to_DER_cert(found[0].decode("ascii", "replace")))


def read_der(data: bytes) -> Certificate:
    """Return the facts of an X.509 certificate.

    Raises:
        ValueError: It is no X.509.
    """
    try:
        _, whole = next(_elements(data))
        _, signed = next(_elements(whole))
        fields = list(_elements(signed))
        if fields[0][0] == _VERSION:
            del fields[0]
        issuer, validity, subject = (content for _, content in fields[2:5])
        begins, ends = (_moment(tag, content) for tag, content in _elements(validity))
    except (StopIteration, IndexError, ValueError) as error:
        raise ValueError("it is no X.509 certificate") from error
    return Certificate(subject, issuer, begins, ends)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of the DER elements that follow each other in *data*."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & _LONG:
            size = length & ~_LONG
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        yield tag, data[position : position + length]
        position += length


def _moment(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 50 to 99 are 1950 to 1999
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _common_name(name: bytes) -> str:
    _, found, rest = name.partition(_COMMON_NAME)
    if not found:
        return ""
    try:
        return next(_elements(rest))[1].decode("utf-8", "replace")
    except (StopIteration, IndexError):
        return ""
