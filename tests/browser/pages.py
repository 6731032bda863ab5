"""A gallery whose films show the numbers of their frames, and what is seen of it in a browser."""

import base64
import csv
import io
import json
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page

from refilm import layout
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames_from
from refilm.media.sound import film_sound
from refilm.models.claims import POPULATIONS, Claim, Row, Series
from refilm.models.intervals import Interval
from refilm.rendering.composite import Composite
from refilm.rendering.findings import Findings
from refilm.rendering.gallery import Entry, describe, film_script, read_description, render_page
from tests.conftest import command
from tests.helpers import done
from tests.models import recipe_named, save_untrained
from tests.numbered_films import number_of, picture, write_beeps

FPS, SECONDS = Fraction(25), 20
FRAMES = int(FPS * SECONDS)
SIZE = (96, 64)
TILE_BIT = 9  # of the two bits of the number of a tile; the first is in the left half of a picture, the second in the right
SHOTS = (0, 125, 250, 375)
MODELS = ("one", "two", "three")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{7*7}}</title>"


def make_gallery(folder: Path) -> Path:
    """The page of a gallery of a film `numbered` by three models, whose every tile shows the number of the frame, and of one
    with a hostile title. Model `two` is best in the third shot and worst in the second."""
    films = folder / "results" / "gallery" / "films" / "96x64"
    films.mkdir(parents=True)
    write_film(films / "numbered.mp4", write_beeps(folder / "beeps.wav", SECONDS))
    frames = folder / "numbered.h5"
    write_frames_from(frames, *SIZE, FrameMetadata(FPS), [np.stack([picture(n, *SIZE) for n in range(FRAMES)])])
    metrics = [write_metrics(folder / f"{model}.csv", number) for number, model in enumerate(MODELS)]
    measured = ("--metrics", *metrics, "--models", *MODELS, f"--measures={films / 'numbered.js'}")
    done(command("gather_measures", f"--frames={frames}", *measured))
    set_shots(films / "numbered.js")
    done(command("render_thumbnail", f"--video={films / 'numbered.mp4'}", f"--thumbnail={films / 'numbered.webp'}"))
    for suffix in (".mp4", ".webp"):
        shutil.copy(films / f"numbered{suffix}", films / f"hostile{suffix}")
    (films / "hostile.js").write_text((films / "numbered.js").read_text().replace("96x64/numbered", "96x64/hostile"))
    entries = {
        "films": {"numbered": "Numbers", "hostile": HOSTILE},
        "models": {model: f"Model {model}" for model in MODELS[:2]} | {"three": HOSTILE},
        "shown": [["numbered", "96x64", MODELS], ["hostile", "96x64", MODELS]],
        "pages": [layout.NETWORK.format(model="one"), *(layout.FINDINGS.format(model=model) for model in ("one", "three"))],
    }
    page = folder / "results" / "gallery" / "index.html"
    done(command("render_gallery", f"--entries={json.dumps(entries)}", f"--page={page}"))
    return page


def make_sizes(gallery: Path) -> Path:
    """A page beside that of `make_gallery`, with the film `numbered` also upright, by a model `four` of that frame size."""
    films, size = gallery.parent / "films" / "64x96", (64, 96)
    films.mkdir(exist_ok=True)
    composite = Composite(2, *size)
    pictures = [(picture(n, *size)[None] for n in range(FRAMES)) for _ in range(composite.count)]
    composite.write(films / "numbered.mp4", pictures, FRAMES, FPS, 18, None, "")
    done(command("render_thumbnail", f"--video={films / 'numbered.mp4'}", f"--thumbnail={films / 'numbered.webp'}"))
    measures = {name: [None, [0.5] * FRAMES] for name in ("ssim", "psnr", "colour", "motion")} | {"shots": [0]}
    (films / "numbered.js").write_text(film_script("64x96/numbered", describe(FRAMES, FPS, size, ["four"]), measures))
    entries = {
        "films": {"numbered": "Numbers"},
        "models": {model: f"Model {model}" for model in (*MODELS, "four")},
        "shown": [["numbered", "96x64", MODELS], ["numbered", "64x96", ["four"]]],
    }
    page = gallery.with_name("sizes.html")
    done(command("render_gallery", f"--entries={json.dumps(entries)}", f"--page={page}"))
    return page


def make_network(folder: Path) -> Path:
    """The page of a network in pictures, with a hostile title."""
    page, recipe = folder / layout.NETWORK.format(model="one"), recipe_named("dcgan")
    page.parent.mkdir(parents=True, exist_ok=True)
    model = save_untrained(page.parent / "model.safetensors", recipe)
    done(command("render_network", f"--model={model}", f"--title={HOSTILE}", f"--page={page}", "--device=cpu"))
    return page


def make_findings(folder: Path) -> Path:
    """The page of findings, with hostile titles."""
    page, interval = folder / layout.FINDINGS.format(model="one"), Interval(0.25, 0.125, 0.5, 1200, 40)
    page.parent.mkdir(parents=True, exist_ok=True)
    series = [Series(label, [(HOSTILE, interval), ("another", interval)]) for label in POPULATIONS]
    measured = Claim(HOSTILE, HOSTILE, HOSTILE, HOSTILE, "signal share", [Row("trained on", "SSIM", interval)], series)
    claims = [measured, Claim("Another", "So.", "", absent=HOSTILE)]
    page.write_text(Findings(HOSTILE, [HOSTILE], [("never seen", 1200, 40, HOSTILE)], claims).to_html("", HOSTILE))
    return page


def write_film(path: Path, sound: Path) -> None:
    """A composite of four tiles, each with the number of the frame, and above it in its bits that of the tile."""
    composite = Composite(1 + len(MODELS), *SIZE)
    numbers = [[n | tile << TILE_BIT for n in range(FRAMES)] for tile in range(composite.count)]
    pictures = [[picture(number, *SIZE)[None] for number in tile] for tile in numbers]
    composite.write(path, pictures, FRAMES, FPS, 18, film_sound(sound, Fraction(0)), "")


def make_page(gallery: Path) -> Path:
    """The page of one film with its video inside, in a folder of its own."""
    films = gallery.parent / "films" / "96x64"
    described = read_description(films / "numbered.js")
    script = (films / "numbered.js").read_text().replace("96x64/numbered", "sent")
    entry = Entry("sent", HOSTILE, {model: f"Model {model}" for model in MODELS}, "", described)
    video = base64.b64encode((films / "numbered.mp4").read_bytes()).decode()
    page = gallery.parent.parent / "sent" / "sent.html"
    page.parent.mkdir(exist_ok=True)
    page.write_text(render_page(entry, script, f"data:video/mp4;base64,{video}"))
    return page


def write_metrics(path: Path, number: int) -> Path:
    """Metrics in the columns of measure_film, constant in each shot."""
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, ["frame", "ssim", "psnr", "colour_error", "film_motion", "recon_motion"])
        table.writeheader()
        for n in range(FRAMES):
            ssim = [0.5, 0.2, 0.9, 0.4][n // 125] - number / 100
            motion = [2, 4, 1, 8][n // 125] if n else ""
            row = {"frame": n, "ssim": ssim, "psnr": 20 * ssim, "colour_error": 5, "film_motion": motion}
            table.writerow(row | {"recon_motion": motion})
    return path


def set_shots(script: Path) -> None:
    """Four shots of five seconds: the pictures of the numbers have no cuts."""
    text = script.read_text()
    first, _, rest = text.partition('"shots":[')
    script.write_text(f'{first}"shots":[{",".join(map(str, SHOTS))}]{rest.partition("]")[2]}')


@dataclass
class Watched:
    """What a page does that it must not: messages on the console, errors, dialogs, and requests beside its own files."""

    messages: list[str]
    requests: list[str]

    def assert_clean(self, folder: Path) -> None:
        assert self.messages == []
        own = (folder.as_uri(), "data:", "blob:")
        assert [url for url in self.requests if not url.startswith(own)] == []


def wait_for_picture(page: Page) -> None:
    """Wait until the video is there and the frame that is wanted is presented."""
    page.wait_for_function("document.getElementById('video').readyState >= 2 && !document.getElementById('video').seeking")
    settle(page)


def settle(page: Page) -> None:
    """Wait until the last seek is over and drawn."""
    page.wait_for_function(
        """rate => { const [video, scrub] = ["video", "scrub"].map((id) => document.getElementById(id));
        return !video.seeking && Math.abs(video.currentTime - (Number(scrub.value) + 0.5) / rate) < 1e-3 }""",
        arg=float(FPS),
    )
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def seen(page: Page) -> list[int]:
    """The frames that the panes show."""
    return [number % (1 << TILE_BIT) for number in _numbers(page)]


def tiles(page: Page) -> list[int]:
    """The tiles that the panes show."""
    return [number >> TILE_BIT for number in _numbers(page)]


def focused(page: Page) -> str:
    """Which element has the focus: the tags and positions on the way to it."""
    return page.evaluate("""() => { let [one, path] = [document.activeElement, ""];
        for (; one.parentElement; one = one.parentElement) path = [...one.parentElement.children].indexOf(one) + " " + path;
        return path === "1 " ? "body" : path }""")


def _numbers(page: Page) -> list[int]:
    """The numbers in the panes as the screen has them: a canvas of a file:// video cannot be read."""
    page.evaluate("scrollTo(0, 0)")
    boxes = page.locator("#panes canvas").evaluate_all(
        "all => all.map((one) => { const box = one.getBoundingClientRect(); return [box.x, box.y, box.width, box.height] })"
    )
    screen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    return [number_of(screen[round(y) : round(y + height), round(x) : round(x + width)]) for x, y, width, height in boxes]
