"""All figures of benchmarks/README.md, measured here: `make bench`, or `make bench FILM=path` for a film of yours.

Each benchmark is a process of its own: what the one before it holds in memory would count as the next one's peak.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from refilm.media.ffmpeg import executable


def main(film: str | None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        film = film or str(_made_film(Path(scratch, "film.mp4")))
        _run("extraction", film)
        _run("memory", film, "20")
    _run("peers")
    _run("reconstruction")
    _run("measuring")
    _run("walks")
    _run("training")
    if torch.cuda.is_available():
        _run("gpu")
    else:
        print("gpu: six epochs of a feature film in 10 minutes and 30 % of the matrix rate are claims of an H100; none here")


def _run(name: str, *words: str) -> None:
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *words], check=True)


def _made_film(path: Path) -> Path:
    """Two minutes of 720p with grain, which costs a decoder about what a film costs it."""
    picture = "testsrc2=size=1280x720:rate=24,noise=alls=12:allf=t"
    words = ["-v", "error", "-f", "lavfi", "-i", picture, "-t", "120", "-pix_fmt", "yuv420p", "-preset", "veryfast"]
    subprocess.run([executable(), *words, str(path)], check=True)
    return path


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
