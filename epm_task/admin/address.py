"""An admin address is where the Job Management API is: on this machine's loopback."""

from __future__ import annotations

from urllib.parse import urlsplit

from epm_task.admin.errors import UnsafeConnection
from epm_task.runtime.loopback import base_url_address


def admin_address(base_url: str, *, allow_remote: bool = False) -> tuple[str, int]:
    """Return host and port of the API.

    Args:
        base_url: `https://HOST:PORT`.
        allow_remote: Take a host off loopback too; the vendor's agent listens on loopback only.

    Raises:
        UnsafeConnection: The URL is another one.
    """
    try:
        if allow_remote:
            url = urlsplit(base_url)
            if url.hostname and url.scheme == "https" and "@" not in url.netloc:
                return url.hostname, url.port or 443
        return base_url_address(base_url)
    except ValueError as error:
        raise UnsafeConnection(
            f"the base URL {base_url[:80]!r} was not used: {error}; give https://127.0.0.1:PORT, "
            "with the port that KestrelHttpsPort of the agent's appsettings.json names"
        ) from None
