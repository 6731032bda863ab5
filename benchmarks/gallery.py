"""Claims: a gallery of 100 films by 10 models is built in 10 s and first painted in 1 s; a video of 11 tiles takes at most
1.2 times as long as with ffmpeg's xstack.

    python -m benchmarks.gallery [FRAMES]

The gallery: render_gallery as a process, of thumbnails and measures that are there; and then Chromium's own time of the
first contentful paint of that page. The video: 11 films of FRAMES frames of 256x144; on one side their frames files, on the
other H.264 files of the same frames, which ffmpeg decodes, pads with their own edges, stacks, enlarges and encodes with the
same settings; the median of three pairs, of wall time, and of processor time with that of all child processes.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import seconds, wall_and_processor_seconds
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.media.encode import PRESET, encode_video
from refilm.media.ffmpeg import executable
from refilm.rendering.composite import Composite
from refilm.rendering.gallery import describe, film_script

FILMS, MODELS, TILES, PAIRS = 100, 10, 11, 3
SIZE, FPS, CRF = (256, 144), Fraction(24), 18
GAP = 16  # pixels between tiles


def main(frames: int = 480) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        _gallery(Path(scratch))
        _composite(Path(scratch), frames)


def _gallery(folder: Path) -> None:
    models = [f"model-{n}" for n in range(MODELS)]
    films = folder / "films" / "256x144"
    films.mkdir(parents=True)
    described = describe(1000, FPS, SIZE, models)
    measures = {name: [None] + [[0.5] * 1000] * MODELS for name in ("ssim", "psnr", "colour", "motion")}
    thumbnail = Image.effect_noise(described["size"], 60).convert("RGB")
    for film in range(FILMS):
        (films / f"film-{film}.js").write_text(film_script(f"256x144/film-{film}", described, measures | {"shots": [0]}))
        thumbnail.save(films / f"film-{film}.webp", quality=60)
    entries = {
        "films": {f"film-{film}": f"Film {film}" for film in range(FILMS)},
        "models": {model: f"Model {model}" for model in models},
        "shown": [[f"film-{film}", "256x144", models] for film in range(FILMS)],
    }
    page = folder / "index.html"
    command = [sys.executable, "-m", "refilm.render_gallery", f"--page={page}", f"--entries={json.dumps(entries)}"]
    built = seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    print(f"gallery: {FILMS} films by {MODELS} models built in {built:.1f} s, goal at most 10 s")
    if chromium := shutil.which("chromium"):
        print(f"gallery: first paint in Chromium after {_first_paint(chromium, page):.2f} s, goal at most 1 s")


def _first_paint(chromium: str, page: Path) -> float:
    from playwright.sync_api import sync_playwright  # only where there is a Chromium

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.goto(page.as_uri())
        opened.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        painted = opened.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        browser.close()
    return float(painted) / 1000


def _composite(folder: Path, count: int) -> None:
    source = ["-v", "error", "-y", "-f", "lavfi", "-i", "mandelbrot=size=256x144:rate=24", "-frames:v", str(count)]
    film = folder / "film.mp4"
    subprocess.run([executable(), *source, "-pix_fmt", "yuv420p", str(film)], check=True)
    raw = subprocess.run(
        [executable(), "-v", "error", "-i", str(film), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    store, composite = folder / "film.h5", Composite(TILES, *SIZE)
    frames = np.frombuffer(raw, np.uint8).reshape(-1, SIZE[1], SIZE[0], 3)
    write_frames_from(store, *SIZE, FrameMetadata(FPS), [frames])
    with FrameStore(store) as opened:
        encode_video(film, opened.batches(16), count, SIZE, FPS, 14, None, "")
    pairs = []
    for _ in range(PAIRS):
        own = wall_and_processor_seconds(lambda: _write(composite, store, folder / "own.mp4", count))
        other = wall_and_processor_seconds(
            lambda: subprocess.run(_xstack(composite, film, folder / "xstack.mp4"), check=True)
        )
        pairs.append([(one / another, one, another) for one, another in zip(own, other, strict=True)])
    for what, found in zip(("wall", "processor"), zip(*pairs, strict=True), strict=True):
        ratio, one, another = sorted(found)[PAIRS // 2]
        print(f"composite: {TILES} tiles, {count} frames: {ratio:.2f} of xstack in {what} time "
              f"({one:.1f} s, {another:.1f} s), goal at most 1.2")  # fmt: skip


def _write(composite: Composite, store: Path, video: Path, count: int) -> None:
    with ExitStack() as stack:
        films = [stack.enter_context(FrameStore(store)) for _ in range(TILES)]
        composite.write(video, [film.batches(16) for film in films], count, FPS, CRF, None, "")


def _xstack(composite: Composite, film: Path, video: Path) -> list[str]:
    width, height = SIZE[0] + GAP, SIZE[1] + GAP
    inputs = [word for _ in range(TILES) for word in ("-i", str(film))]
    sides = ":".join(f"{side}={GAP // 2}" for side in ("left", "right", "top", "bottom"))
    edges = f"pad={width}:{height}:{GAP // 2}:{GAP // 2},fillborders={sides}:mode=smear"
    padded = "".join(f"[{n}]{edges}[p{n}];" for n in range(TILES))
    places = "|".join(f"{n % composite.columns * width}_{n // composite.columns * height}" for n in range(TILES))
    stacked = "".join(f"[p{n}]" for n in range(TILES)) + f"xstack=inputs={TILES}:layout={places}:fill=black"
    larger = "scale={}:{}:flags=bicubic".format(*composite.video_size)
    options = ["-c:v", "libx264", "-preset", PRESET, "-crf", str(CRF), "-g", "12", "-pix_fmt", "yuv420p"]
    return [
        executable(),
        "-v",
        "error",
        "-y",
        *inputs,
        "-filter_complex",
        f"{padded}{stacked},{larger}",
        *options,
        str(video),
    ]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
