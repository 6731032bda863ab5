"""Claim: refilm's shots begin where a film cuts, at least as often to the frame as those of PySceneDetect's detectors.

    pip install scenedetect opencv-python-headless
    python -m benchmarks.shots FOLDER

FOLDER has the films that benchmarks/shots.json names; one with another SHA-256 is an error. The cuts were listed by hand:
every frame that refilm, AdaptiveDetector, ContentDetector or a difference of luma with a low threshold points to was looked
at with its neighbours, and so was every twelfth frame of each film. The number of a cut is that of the first frame of the
new shot, from 0. `gradual` are dissolves, fades and irises, first and last frame. The camera that pans within a scene, the
hand before it, and the iris that closes and stays around a head are none of either.

The method is that of PySceneDetect's own benchmark, which is TRECVID's: a detection within a gradual transition belongs to
that, and the first one there finds it. Any other belongs to the nearest cut within a tolerance, each cut to one detection.
The published tolerance is 0 frames. All detectors have their defaults; PySceneDetect's see the film file, refilm its frames
of 256x144.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from refilm.core.errors import RefilmError
from refilm.core.files import sha256_of
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore

TRUTH = Path(__file__).with_suffix(".json")


def main(folder: str) -> None:
    print("| film | detector | tolerance | precision | recall | F1 | false | missed | gradual |\n" + "|---" * 9 + "|")
    for name, truth in json.loads(TRUTH.read_text()).items():
        film = Path(folder, name)
        if sha256_of(film) != truth["sha256"]:
            raise RefilmError(f"{film}: not the film whose cuts are listed: its SHA-256 is not {truth['sha256']}")
        for detector, detect in _detectors():
            found = detect(film)
            for tolerance in (0, 1):
                _print(film.stem, detector, tolerance, found, truth)


def match_cuts(found: list[int], cuts: list[int], tolerance: int) -> list[tuple[int, int]]:
    """(detection, cut) of those within `tolerance` frames of each other, the nearest first, each in one pair."""
    near = sorted((abs(a - b), a, b) for a in found for b in cuts if abs(a - b) <= tolerance)
    pairs: dict[int, int] = {}
    for _distance, a, b in near:
        if a not in pairs and b not in pairs.values():
            pairs[a] = b
    return list(pairs.items())


def _print(film: str, detector: str, tolerance: int, found: list[int], truth: dict[str, list]) -> None:
    within = [[n for n in found if first <= n <= last] for first, last in truth["gradual"]]
    others = sorted(set(found) - {n for numbers in within for n in numbers})
    pairs = match_cuts(others, truth["cuts"], tolerance)
    precision, recall = len(pairs) / max(1, len(others)), len(pairs) / len(truth["cuts"])
    f1 = 2 * len(pairs) / (len(others) + len(truth["cuts"]))
    false, missed = len(others) - len(pairs), len(truth["cuts"]) - len(pairs)
    gradual = f"{sum(map(bool, within))} of {len(within)}"
    figures = f"{precision:.3f} | {recall:.3f} | {f1:.3f} | {false} | {missed} of {len(truth['cuts'])} | {gradual}"
    print(f"| {film} | {detector} | {tolerance} | {figures} |", flush=True)


def _detectors() -> Iterator[tuple[str, Callable[[Path], list[int]]]]:
    yield "refilm", _refilm
    try:
        import scenedetect
    except ImportError:
        print("PySceneDetect is not installed: pip install scenedetect opencv-python-headless", file=sys.stderr)
        return
    for detector in (scenedetect.AdaptiveDetector, scenedetect.ContentDetector):
        yield detector.__name__, lambda film, detector=detector: _starts_of_scenes(scenedetect.detect(str(film), detector()))


def _refilm(film: Path) -> list[int]:
    with tempfile.TemporaryDirectory() as scratch:
        frames = Path(scratch, "film.h5")
        command = [sys.executable, "-m", "refilm.extract_frames", f"--source={film}", f"--frames={frames}", "--size=256x144"]
        subprocess.run(command, check=True, capture_output=True)
        with FrameStore(frames) as store:
            return [shot.start for shot in find_shots(store)][1:]


def _starts_of_scenes(scenes: list) -> list[int]:
    return [start.frame_num for start, _end in scenes][1:]


if __name__ == "__main__":
    main(sys.argv[1])
