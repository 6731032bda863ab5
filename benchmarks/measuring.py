"""Claim: measuring a film takes at most 1.5 times as long as decoding it twice.

    python -m benchmarks.measuring [WIDTH] [FRAMES] [ROUNDS]

In turn in one process: measure_film, which decodes, reads the frames, finds the shots and writes the table; and
decode_latents twice. Wall time, and processor time of all threads, which depends less on what else the machine does.
"""

import argparse
import statistics
import sys
import tempfile
from collections import deque
from pathlib import Path

import torch

from benchmarks.common import default_recipe, random_film, wall_and_processor_seconds
from refilm.frames.latents import LatentStore, write_latents
from refilm.frames.store import FrameStore
from refilm.measure_film import main as measure_film
from refilm.models.device import choose_device
from refilm.models.inference import decode_latents
from refilm.models.model_file import load_model, save_model
from refilm.models.registry import build_model


def main(width: int = 24, count: int = 512, rounds: int = 5) -> None:
    recipe = default_recipe(base_channels=width)
    with tempfile.TemporaryDirectory() as scratch:
        names = ("frames", "latents", "model", "metrics")
        files = {name: str(Path(scratch, name)) for name in names}
        torch.manual_seed(0)
        save_model(files["model"], build_model(recipe), 0)
        with FrameStore(random_film(Path(files["frames"]), count)) as film:
            attributes = film.metadata.shared_attributes()
        rows = torch.randn(count, recipe.latent_dim).numpy()
        write_latents(files["latents"], count, recipe.latent_dim, attributes, [rows])
        model = load_model(files["model"], choose_device("cpu"))
        with LatentStore(files["latents"]) as latents:

            def decode_twice() -> None:
                for _ in range(2):
                    deque(decode_latents(model, latents), maxlen=0)

            measure = argparse.Namespace(**files, device="cpu")
            pairs = [
                (wall_and_processor_seconds(lambda: measure_film(measure)), wall_and_processor_seconds(decode_twice))
                for _ in range(rounds + 1)
            ][1:]
    for which, what in enumerate(("wall", "processor")):
        ratio = statistics.median(one[which] / other[which] for one, other in pairs)
        own, other = (min(pair[side][which] for pair in pairs) for side in (0, 1))
        print(f"measuring, width {width}, {count} frames: {ratio:.2f} times decoding twice in {what} time "
              f"({own:.1f} s, {other:.1f} s; median of {rounds} pairs), goal 1.5")  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
