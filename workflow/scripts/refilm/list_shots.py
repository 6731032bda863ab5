"""List the shots of a film: a row per shot.

    python -m refilm.list_shots --frames results/frames/256x144/bikes.h5 --shots results/shots/bikes.csv

shot: its number, from 1; start, end, length: seconds of the result, in which the first frame has the time 0, and end is
where the next shot starts; first_frame: its number, from 0; frames: how many; luma: mean of all pixels, in grey levels;
motion: mean change from the frame before, in grey levels, over all frames of the shot but its first, as film_motion of
`measure_film`. The motion of a shot of one frame is missing.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from refilm.core.command_line import command_parser, run_command
from refilm.core.files import atomic_write
from refilm.core.progress import progress_bar
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore
from refilm.models import metrics

_CHUNK = 16  # frames at once: in float64 their temporaries are small enough for the heap to keep


def main(args: argparse.Namespace) -> None:
    with FrameStore(args.frames) as film:
        shots = find_shots(film)
        luma, motion = _measure(film, f"shots of {Path(args.shots).stem}")
    starts = np.array([shot.start for shot in shots])
    counts = np.array([len(shot) for shot in shots])
    motion[starts] = 0  # a cut is no motion
    table = pd.DataFrame(
        {
            "shot": np.arange(1, len(shots) + 1),
            "start": starts / float(film.fps),
            "end": (starts + counts) / float(film.fps),
            "length": counts / float(film.fps),
            "first_frame": starts,
            "frames": counts,
            "luma": np.add.reduceat(luma, starts) / counts,
            "motion": np.add.reduceat(motion, starts) / np.where(counts > 1, counts - 1, np.nan),
        }
    )
    with atomic_write(Path(args.shots)) as partial:
        table.round(4).to_csv(partial, index=False)
    lengths = table["length"]
    print(
        f"{args.shots}: {len(shots)} shots of {lengths.min():.2f} to {lengths.max():.2f} s, median {lengths.median():.2f} s"
    )


def _measure(film: FrameStore, what: str) -> tuple[np.ndarray, np.ndarray]:
    """(luma, motion) of each frame in grey levels, float64 (N,); the motion of the first frame is 0."""
    luma, motion = np.zeros(len(film)), np.zeros(len(film))
    with progress_bar(what, len(film), " frames") as bar:
        for start in range(0, len(film), _CHUNK):
            end, before = min(start + _CHUNK, len(film)), max(0, start - 1)
            frames = torch.from_numpy(film[before:end])
            luma[start:end] = metrics.luma(frames[start - before :]).mean(dim=(1, 2))
            motion[before + 1 : end] = metrics.motion(metrics.changes(frames))
            bar.update(end - start)
    return luma, motion


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--shots", required=True, help="the CSV to write")
    run_command(main, parser)
