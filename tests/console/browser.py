"""A real browser, headless, that reaches nothing but this machine, and pages that are watched."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from peers.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

#: Debian's name first.
NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium; without one the test is skipped, and fails in CI on Linux."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        needed = sys.platform == "linux" and os.environ.get("CI")
        (pytest.fail if needed else pytest.skip)(
            "no Chromium on the PATH: apt-get install chromium"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


def enter(context: BrowserContext, address: str) -> str:
    """Let a browser in with an address of the console; return the address of the page."""
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.goto(address)
    here = page.url.partition("#")[0]
    page.close()
    return here


class Watched:
    """A page, and what it did wrong.

    Attributes:
        complaints: Errors of the script, violations of the policy, failed requests.
        strangers: Addresses of other origins that it asked for.
    """

    def __init__(self, context: BrowserContext, home: str) -> None:
        self.page: Page = context.new_page()
        self.home = home
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def open(self, run: str | None = None) -> Page:
        """Load the console, or one run in it, and wait until it is live."""
        self.page.goto(f"{self.home}#run={run}" if run else self.home)
        self.page.wait_for_selector('#health[data-state="live"]')
        return self.page

    def complaint(self) -> str:
        """Wait for something that the page does wrong, and forget it."""
        deadline = time.monotonic() + PATIENCE
        while not self.complaints and time.monotonic() < deadline:
            self.page.wait_for_timeout(20)  # in which its events come
        return self.complaints.pop()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} ({message.location['url']})")

    def _asked(self, url: str) -> None:
        if urlsplit(url)[:2] != urlsplit(self.home)[:2]:
            self.strangers.append(url)
