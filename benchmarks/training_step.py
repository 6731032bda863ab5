"""Claim: the training step is 7 times as fast as three separate forward and backward passes in float32 NCHW.

    python -m benchmarks.training_step [WIDTH] [ROUNDS]

The same networks, batch and numbers, in turn in one process; the goal is for a CPU with AMX bf16. Ours includes the
step of the optimiser and the running average, the naive one only its gradients.
"""

import statistics
import sys

import numpy as np
import torch

from benchmarks.common import default_recipe, seconds
from benchmarks.naive_step import naive_gradients
from refilm.networks.device import choose_device, compute_type
from refilm.networks.networks import Networks, to_network
from refilm.settings.recipe import Recipe
from refilm.training.loop import Trainer
from refilm.training.schedule import Batch


def main(width: int = 80, rounds: int = 5) -> float:
    settings = default_recipe(width=width, gamma=500.0)  # a number: choosing it would cost the naive step a pass more
    device = choose_device("cpu")
    trainer, batch = Trainer(settings, device), _batch(settings)
    naive_networks = Networks(settings).to(memory_format=torch.contiguous_format)
    frames = to_network(batch.frames).contiguous()
    pairs = []
    for _ in range(rounds + 1):
        ours = seconds(lambda: trainer.train_step(batch, 1000))
        naive = seconds(lambda: naive_gradients(naive_networks, settings, frames, batch.noise, batch.prior))
        pairs.append((ours, naive))
    pairs = pairs[1:]  # the first round warms up
    ratio = statistics.median(naive / ours for ours, naive in pairs)
    dtype = str(compute_type(device, "auto")).removeprefix("torch.")
    print(
        f"training step: ours {min(a for a, _ in pairs):.3f} s ({dtype}), naive {min(b for _, b in pairs):.3f} s (float32)"
    )
    print(
        f"training step: {ratio:.2f} times as fast (median of {rounds} pairs), goal 7 on AMX bf16; width {width}, batch "
        f"{settings.batch}; AMX here: {torch.cpu._is_amx_tile_supported()}"
    )
    return ratio


def _batch(settings: Recipe) -> Batch:
    width, height = settings.size
    frames = np.random.default_rng(0).integers(0, 256, (settings.batch, height, width, 3), dtype=np.uint8)
    noise, prior = torch.randn(2, settings.batch, settings.latent)
    return Batch(torch.from_numpy(frames), noise, prior)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
