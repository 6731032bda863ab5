"""Claim: while a gallery plays, all panes show the same frame: 0 frames apart at three speeds, after 50 seeks and a resize.

    python -m benchmarks.in_step [SECONDS]

A film of two minutes whose frames show their numbers, as four tiles of one video, in Debian's Chromium, from the disk. At
0.25x, 1x and 2x each, 50 frames are sought and the window is resized; then it plays SECONDS (60) from its first frame. The
numbers are read from pictures of the window as it is on the screen.
"""

import io
import random
import shutil
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from refilm.core.errors import RefilmError
from refilm.rendering.composite import Composite
from refilm.rendering.gallery import Entry, describe, film_script, render_page
from tests.numbered_films import number_of, picture

FRAMES, FPS, SIZE = 3000, Fraction(25), (96, 64)
MODELS = ("one", "two", "three")
SPEEDS = (0.25, 1, 2)
SEEKS = 50


def main(seconds: float = 60) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise RefilmError("benchmarks.in_step needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        address = _make_page(Path(scratch)).as_uri()
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        for speed in SPEEDS:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{address}#film=sent&speed={speed}")
            page.wait_for_function("document.getElementById('video').readyState >= 2")
            sought = _seek(page)
            page.set_viewport_size({"width": 900, "height": 800})
            page.keyboard.press("Home")
            played = _play(page, seconds)
            page.close()
            _report(f"{speed}x, {SEEKS} seeks", sought)
            _report(f"{speed}x, {seconds:g} s of playing", played)
        browser.close()


def _make_page(folder: Path) -> Path:
    """The page, with its video inside."""
    composite = Composite(1 + len(MODELS), *SIZE)
    pictures = [(picture(n, *SIZE)[None] for n in range(FRAMES)) for _ in range(composite.count)]
    composite.write(folder / "film.mp4", pictures, FRAMES, FPS, 18, None, "")
    described = describe(FRAMES, FPS, SIZE, MODELS)
    measures = {name: [None] + [[0.5] * FRAMES] * len(MODELS) for name in ("ssim", "psnr", "colour", "motion")}
    entry = Entry("sent", "Numbers", {name: name for name in MODELS}, "", described)
    page = folder / "page.html"
    page.write_text(render_page(entry, film_script("sent", described, measures | {"shots": [0]}), "film.mp4"))
    return page


def _seek(page: Page) -> list[list[int]]:
    """What the panes show after each seek, the number that was asked for before them."""
    chance, found = random.Random(1), []
    for frame in [chance.randrange(FRAMES) for _ in range(SEEKS)]:
        page.locator("#scrub").fill(str(frame))
        page.wait_for_function(
            "time => { const video = document.getElementById('video');"
            "return !video.seeking && Math.abs(video.currentTime - time) < 1e-3 }",
            arg=float((frame + Fraction(1, 2)) / FPS),
        )
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found.append([frame, *_seen(page)])
    return found


def _play(page: Page, seconds: float) -> list[list[int]]:
    """What the panes show, as often as the window can be read."""
    page.keyboard.press("k")
    found, began = [], time.monotonic()
    while time.monotonic() - began < seconds:
        found.append(_seen(page))
    return found


def _seen(page: Page) -> list[int]:
    """The frames in the panes."""
    boxes = page.locator("#panes canvas").evaluate_all(
        "all => all.map((one) => { const box = one.getBoundingClientRect(); return [box.x, box.y, box.width, box.height] })"
    )
    screen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    return [number_of(screen[round(y) : round(y + height), round(x) : round(x + width)]) for x, y, width, height in boxes]


def _report(what: str, found: list[list[int]]) -> None:
    apart = max(max(numbers) - min(numbers) for numbers in found)
    frames = {number for numbers in found for number in numbers}
    print(f"in step: {what}: panes {apart} frames apart in {len(found)} pictures of {len(frames)} frames, goal 0")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
