"""Chromium for the tests of pages: fixtures for all test modules."""

import os
import shutil
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "Chromium isn't there. Run `make chromium` as root, or install Debian's package chromium, or "
    "run `playwright install chromium`, or name one: CHROMIUM=/path/to/chromium."
)


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; without one, tests are skipped, or fail in CI."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = _executable(playwright)
        if path is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


def _executable(playwright):
    """Returns the path of a Chromium or Chrome on this machine, or None."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    own = playwright.chromium.executable_path
    found = [shutil.which(name) for name in NAMES] + [own if Path(own).is_file() else None]
    return next((path for path in found if path), None)


@pytest.fixture(scope="session")
def context(chromium):
    """A browser context; its pages share a cache, from which they load TensorBoard's program."""
    return chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)


@pytest.fixture
def page(context):
    """A new page of 1280 x 800 pixels, which fails the test at its end if something goes wrong.

    These are errors on the console, uncaught exceptions, and requests that leave this machine.
    """
    page = context.new_page()
    wrong = []
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: _is_local(request.url) or wrong.append(request.url))
    yield page
    page.close()
    assert wrong == []


def _is_local(address):
    return address.startswith(("http://localhost:", "http://127.0.0.1:", "blob:", "data:"))
