"""Claim: a film is reconstructed at 85 % of the rate of the bare forward passes of the same networks.

    python -m benchmarks.reconstruction [WIDTH] [FRAMES] [ROUNDS]

In turn in one process: encode_film and decode_latents, with reading, converting and writing frames; and encoder and decoder
alone, on one batch in memory, as often.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import default_recipe, random_film, seconds
from refilm.frames.store import FrameStore, write_frames_from
from refilm.models.base import to_network
from refilm.models.device import autocast, choose_device, compute_type
from refilm.models.inference import BATCH, decode_latents, encode_film
from refilm.models.registry import build_model


def main(width: int = 80, count: int = 512, rounds: int = 5) -> float:
    settings = default_recipe(base_channels=width)
    device = choose_device("cpu")
    model = build_model(settings).to(device).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as scratch, FrameStore(random_film(Path(scratch, "film.h5"), count)) as film:

        def whole():
            latents = np.concatenate(list(encode_film(model, film)))
            write_frames_from(Path(scratch, "out.h5"), 256, 144, film.metadata, decode_latents(model, latents))

        batch = to_network(torch.from_numpy(film[:BATCH]))

        @torch.no_grad()
        def bare():
            for _ in range(count // BATCH):
                with autocast(device, compute_type(device, "auto")):
                    model.decode(model.encode(batch)[0])

        pairs = [(seconds(whole), seconds(bare)) for _ in range(rounds + 1)][1:]
    share = statistics.median(b / a for a, b in pairs)
    print(f"reconstruction: {count / min(a for a, _ in pairs):.0f} frames/s, bare {count / min(b for _, b in pairs):.0f}")
    print(
        f"reconstruction: {share:.1%} of the bare rate (median of {rounds} pairs), goal 85 %; width {width}, {count} frames"
    )
    return share


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
