"""Claim: extracting a film of 100 minutes takes as much memory as one of a minute, within 10 %.

    python -m benchmarks.memory FILM [MINUTES]

The film is repeated by copying its packets until it lasts a minute, and MINUTES. Of both extractions the peak resident
memory of the largest process is taken, its own or an ffmpeg's. (A child's peak counts what its parent had when it was
born, so that they cannot be distinguished where the parent is the larger one.)
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import ffmpeg

from refilm.media.ffmpeg import command_line, film_input, run_ffmpeg

_MEASURED = """
import resource, runpy
runpy.run_module("refilm.extract_frames", run_name="__main__")
print(*(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""
_UNIT = 1024**2 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, else in kilobytes


def main(film: str, minutes: int = 100) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        short, long = (_peak(film, Path(scratch), length) for length in (1, minutes))
    print(f"memory: {short:.1f} MB for 1 minute, {long:.1f} MB for {minutes}: {long / short - 1:+.1%}, goal within 10 %")
    return long / short


def _peak(film: str, scratch: Path, minutes: int) -> float:
    """Megabytes of the largest process of an extraction at its peak."""
    repeated, frames = scratch / "film.mkv", scratch / "film.h5"
    video = film_input(film, stream_loop=-1)["v:0"]
    run_ffmpeg(command_line(ffmpeg.output(video, str(repeated), c="copy", t=60 * minutes)), "film")
    options = [f"--source={repeated}", f"--frames={frames}", "--size=32x32"]
    done = subprocess.run([sys.executable, "-c", _MEASURED, *options], check=True, capture_output=True, text=True)
    frames.unlink()
    return max(int(peak) / _UNIT for peak in done.stdout.splitlines()[-1].split())


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
