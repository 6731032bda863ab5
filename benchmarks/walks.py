"""Claim: a walk through latents is rendered at 85 % of the rate of the bare decoder or the bare encoder of video, whichever
is slower. Where both share the cores, as without a GPU, the claim is of the processor time of both.

    python -m benchmarks.walks [WIDTH] [FRAMES] [ROUNDS]

In turn in one process: a walk of FRAMES frames at a quarter of a film's pace, smoothed, closed, decoded and encoded as
`render_walk` does it; the decoder alone, on one batch in memory, as often; and the encoder alone, on frames that are there.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import default_recipe, seconds
from refilm.core.prefetch import prefetch
from refilm.frames.latents import LatentStore, write_latents
from refilm.frames.walks import Closed, Film, Paced, Smoothed, Spherical
from refilm.media.encode import encode_video
from refilm.models.device import autocast, choose_device, compute_type
from refilm.models.inference import BATCH, decode_latents
from refilm.models.registry import build_model
from refilm.rendering.upscale import upscale, upscaled_size

_HEIGHT, _CRF = 432, 14  # the defaults
_PACE, _BLEND = 4, 96


def main(width: int = 80, count: int = 512, rounds: int = 5) -> float:
    device = choose_device("auto")
    model = build_model(default_recipe(base_channels=width)).to(device).eval().requires_grad_(False)
    dim, size = model.recipe.latent_dim, model.recipe.size
    film = np.random.default_rng(0).standard_normal(((count + _BLEND) // _PACE + 1, dim)).cumsum(0).astype(np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        write_latents(Path(scratch, "film.h5"), len(film), dim, {"fps": "24"}, [film / film.std()])
        with LatentStore(Path(scratch, "film.h5")) as store:

            def encode(batches):
                tile = upscaled_size(size, _HEIGHT)
                encode_video(Path(scratch, "walk.mp4"), batches, count, size, Fraction(24), _CRF, None, "",
                             lambda stream: upscale(stream, tile))  # fmt: skip

            def frames():
                between = Spherical.of([store])
                walk = Closed(Paced(Smoothed(Film(store), 6), Fraction(1, _PACE), between), _BLEND, between)
                return decode_latents(model, walk, 0, count)

            @torch.no_grad()
            def decoder():
                for _ in range(count // BATCH):
                    with autocast(device, compute_type(device, "auto")):
                        model.decode(batch)

            batch, decoded = torch.from_numpy(store[:BATCH]).to(device), list(frames())
            works = (lambda: encode(prefetch(frames())), decoder, lambda: encode(decoded))
            taken = [tuple(map(_taken, works)) for _ in range(rounds + 1)][1:]
    walls, cpus = ([[part[kind] for part in parts] for parts in taken] for kind in (0, 1))
    against_slower = statistics.median(max(decoding, encoding) / walk for walk, decoding, encoding in walls)
    of_both = statistics.median((decoding + encoding) / walk for walk, decoding, encoding in cpus)
    print(f"walks: {against_slower:.1%} of the rate of the slower of decoder and encoder, by the clock")
    print(f"walks: decoder and encoder alone take {of_both:.1%} of the processor time of a walk, goal 85 %")
    print(f"walks: median of {rounds}; width {width}, {count} frames, {_HEIGHT} lines")
    return of_both


def _taken(work: Callable[[], object]) -> tuple[float, float]:
    """(seconds by the clock, seconds of the processor, with child processes) of one call."""
    before = sum(os.times()[:4])
    wall = seconds(work)
    return wall, sum(os.times()[:4]) - before


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
