"""Claim: extraction takes at most 1.1 times as long as ffmpeg decoding and scaling the same film to nowhere.

    python -m benchmarks.extraction FILM [ROUNDS]

Whole processes, alternating: ours with its start, its probing, its writing and its checks; ffmpeg with the same filters and
no output. The ratio is that of each round's pair, the median of the rounds.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import seconds
from refilm.media.decode import plan_decode
from refilm.media.ffmpeg import executable
from refilm.media.film_file import FilmFile
from refilm.media.probe import probe_video

SIZE = (256, 144)


def main(film: str, rounds: int = 5) -> float:
    plan = plan_decode(probe_video(FilmFile(film)), SIZE)
    bare = [executable(), "-v", "error", "-i", film, "-map", "0:v:0", "-vf", plan.filters, "-f", "null", "-"]
    with tempfile.TemporaryDirectory() as scratch:
        frames = Path(scratch, "film.h5")
        ours = [sys.executable, "-m", "refilm.extract_frames", f"--source={film}", f"--frames={frames}"]
        ours.append(f"--size={SIZE[0]}x{SIZE[1]}")
        _run(bare)
        pairs = []
        for _ in range(rounds):
            frames.unlink(missing_ok=True)
            pairs.append((_run(ours), _run(bare)))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"extraction: {min(a for a, _ in pairs):.2f} s, bare {min(b for _, b in pairs):.2f} s (least of {rounds})")
    print(
        f"extraction: ratio {ratio:.2f} (median of {rounds} pairs), goal at most 1.1; "
        f"{plan.estimated_frames} frames of {Path(film).name}"
    )
    return ratio


def _run(command: list[str]) -> float:
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
