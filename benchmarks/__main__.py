"""All figures of benchmarks/README.md, measured here: `make bench`, or `make bench FILM=path` for a film of yours."""

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks import extraction, gpu, memory, peers, reconstruction, training
from refilm.media.ffmpeg import executable, run_ffmpeg


def main(film: str | None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        film = film or str(_made_film(Path(scratch, "film.mp4")))
        extraction.main(film)
        memory.main(film, minutes=20)
    peers.main()
    reconstruction.main()
    training.main()
    if torch.cuda.is_available():
        gpu.main(gpu.command_line().parse_args([]))
    else:
        print("gpu: six epochs of a feature film in 10 minutes and 30 % of the matrix rate are claims of an H100; none here")


def _made_film(path: Path) -> Path:
    """Four minutes of 720p with grain, which costs a decoder about what a film costs it."""
    picture = "mandelbrot=size=1280x720:rate=24:maxiter=300,noise=alls=12:allf=t"
    run_ffmpeg(
        [executable(), "-v", "error", "-f", "lavfi", "-i", picture, "-t", "240", "-pix_fmt", "yuv420p", str(path)], "film"
    )
    return path


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
