"""The pages of a gallery, opened from the disk in Debian's Chromium."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.pages import Watched, make_gallery, wait_for_picture

SWITCHES = [
    "--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--mute-audio",
]  # fmt: skip


@pytest.fixture(scope="session")
def gallery(tmp_path_factory) -> Path:
    """The page of `make_gallery`."""
    return make_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium: that of Playwright cannot decode H.264."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.fail("chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=SWITCHES)
        yield started
        started.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., Page]]:
    """A function that opens a page of the gallery in a window of its own, and asserts at the end that it was clean."""
    opened: list[tuple[BrowserContext, Watched, Path]] = []

    def start(file: Path, hash_: str = "", **options) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 1000}} | options))
        page, watched = context.new_page(), Watched([], [])
        page.on("console", lambda message: watched.messages.append(message.text))
        page.on("pageerror", lambda error: watched.messages.append(str(error)))
        page.on("dialog", lambda dialog: (watched.messages.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: watched.requests.append(request.url))
        opened.append((context, watched, file.parent))
        page.goto(file.as_uri() + hash_)
        if hash_:
            wait_for_picture(page)
        return page

    yield start
    for context, watched, folder in opened:
        context.close()
        watched.assert_clean(folder)
