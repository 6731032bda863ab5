"""Claim: a training step is 8 times as fast as that of pythae's VAEGAN trainer, and 9 times as fast as the naive one.

    python -m benchmarks.peers [--width 80] [--batch 12] [--rounds 5] [--steps 1]

Whole steps of the same networks on the same frames and machine. Each side is a process of its own, and they are measured in
turn. pythae (PyPI, 0.1.2) is the only library with a VAE/GAN: its own trainer loads the batch, calls its model
and steps its three optimisers; only the networks are ours, in the wrappers that it requires. The margin of its equilibrium
is so wide that every step trains all networks: a step that leaves one out cannot be compared. The naive step is
benchmarks/naive_step.py: three losses with a forward and a backward pass each, and no optimiser. Both compute in float32,
as they do by default; so does ours with --precision float32.

pythae's gradients are wrong: each of its three backward passes leaves its gradients in all networks, and the decoder is
trained to help the discriminator. This benchmark is about its speed only.
"""

import logging
import multiprocessing
import statistics
import tempfile
from contextlib import ExitStack
from multiprocessing.connection import Connection

import torch
from torch.nn import functional

from benchmarks.common import default_recipe, random_batch, seconds
from benchmarks.naive_step import naive_gradients
from refilm.config.recipe import Recipe
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.models.base import Batch, Model, to_network
from refilm.models.device import choose_device, compute_type, device_name
from refilm.models.registry import build_model
from refilm.training.trainer import Trainer

_LAYER = 3  # of the discriminator, in which pythae measures similarity: it takes one
_WARM_UP = 2  # rounds of each side: kernels are selected and memory is allocated
_GOALS = {"pythae": 8, "naive": 9}


def main(
    width: int = 80,
    batch: int = 12,
    rounds: int = 5,
    steps: int = 1,
    size: str = "256x144",
    precision: str = "auto",
    device: str = "auto",
) -> dict[str, float]:
    """The speed of our step as a multiple of each peer's, by name of the peer."""
    settings = default_recipe(base_channels=width, batch_size=batch, frame_size=size, gamma=500.0, precision=precision)
    on = choose_device(device)
    with ExitStack() as opened:
        sides = {name: opened.enter_context(_Side(name, settings, on, steps)) for name in _SIDES}
        for side in sides.values():
            for _ in range(_WARM_UP):
                side.seconds_a_step()
        times = [{name: side.seconds_a_step() for name, side in sides.items()} for _ in range(rounds)]
    dtype = str(compute_type(on, precision)).removeprefix("torch.")
    print(
        f"peers: width {width}, batch {batch}, {size}, {rounds} rounds of {steps} steps; {device_name(on)}; ours in {dtype}"
    )
    for name in sides:
        each = [one[name] for one in times]
        print(f"peers: {name:6} {statistics.median(each):7.3f} s a step (least {min(each):.3f})")
    return {name: _report(name, goal, [one[name] / one["ours"] for one in times]) for name, goal in _GOALS.items()}


class _Side:
    """One side in a process of its own, which computes on request and is idle while the others compute."""

    def __init__(self, name: str, settings: Recipe, device: torch.device, steps: int):
        self._name, context = name, multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, name, settings, device, steps), daemon=True)
        self._process.start()
        there.close()  # so that the death of a side raises EOFError here

    def __enter__(self) -> "_Side":
        return self

    def __exit__(self, *_exception) -> None:
        self._here.close()
        self._process.join()

    def seconds_a_step(self) -> float:
        try:
            self._here.send(None)
            answer = self._here.recv()
        except (EOFError, OSError) as error:
            raise RefilmError(f"peers: {self._name}: the process ended early") from error
        if isinstance(answer, str):
            raise RefilmError(f"peers: {self._name}: {answer}")
        return answer


def _serve(requests: Connection, name: str, settings: Recipe, device: torch.device, steps: int) -> None:
    """Answer each request with the seconds of a step, or with an error message, until the connection is closed."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            work = _SIDES[name](settings, device, random_batch(settings), steps, scratch)
            while True:
                requests.recv()
                requests.send(seconds(work) / steps)
    except EOFError:
        return
    except RefilmError as error:
        requests.send(str(error))


def _report(name: str, goal: float, ratios: list[float]) -> float:
    median, each = statistics.median(ratios), ", ".join(f"{ratio:.2f}" for ratio in ratios)
    amx = "" if torch.cpu._is_amx_tile_supported() else "; none here"
    print(f"peers: {median:.2f} times as fast as {name} (rounds: {each}), goal {goal} on a CPU with AMX bf16{amx}")
    return median


def _our_steps(settings: Recipe, device: torch.device, batch: Batch, steps: int, _scratch: str):
    trainer = Trainer(settings, choose_device(device.type))

    def step() -> None:
        for _ in range(steps):
            trainer.train_step(batch, 1000)
        _finish(device)

    return step


def _naive_steps(settings: Recipe, device: torch.device, batch: Batch, steps: int, _scratch: str):
    model = build_model(settings).to(device, memory_format=torch.contiguous_format)
    batch = Batch(to_network(batch.frames).contiguous(), batch.noise, batch.prior).map(lambda tensor: tensor.to(device))

    def step() -> None:
        for _ in range(steps):
            naive_gradients(model, batch)
        _finish(device)

    return step


def _pythae_steps(settings: Recipe, device: torch.device, batch: Batch, steps: int, scratch: str):
    return pythae_steps(build_model(settings), device, batch, steps, scratch)


def pythae_steps(ours: Model, device: torch.device, batch: Batch, steps: int, scratch: str):
    """An epoch of pythae's trainer with the networks of `ours`, over `steps` batches."""
    try:
        from pythae.data.datasets import BaseDataset
        from pythae.models import VAEGAN, VAEGANConfig
        from pythae.trainers import CoupledOptimizerAdversarialTrainer, CoupledOptimizerAdversarialTrainerConfig
    except ImportError as error:
        raise RefilmError(f"{error}: pip install pythae==0.1.2") from error
    logging.disable(logging.INFO)  # it logs its whole configuration
    settings, ours = ours.recipe, ours.to(memory_format=torch.contiguous_format)
    width, height = settings.size
    config = VAEGANConfig(
        input_dim=(3, height, width),
        latent_dim=settings.latent_dim,
        reconstruction_layer=_LAYER,
        equilibrium=0.0,
        margin=1e9,
    )
    model = VAEGAN(config, *_wrapped(ours))
    frames = to_network(batch.frames).contiguous().repeat(steps, 1, 1, 1)
    how = CoupledOptimizerAdversarialTrainerConfig(
        output_dir=scratch, per_device_train_batch_size=settings.batch_size, no_cuda=device.type != "cuda"
    )
    trainer = CoupledOptimizerAdversarialTrainer(model, BaseDataset(frames, torch.zeros(len(frames))), None, how)
    trainer.prepare_training()
    trainer.callback_handler.callbacks.clear()  # its progress bar
    logging.disable(logging.NOTSET)
    numbers = iter(range(1, 10**9))
    return lambda: trainer.train_step(next(numbers))


def _wrapped(model: Model) -> tuple:
    """(encoder, decoder, discriminator) of ours as pythae needs them."""
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.network = model.encoder

        def forward(self, x):
            mean, log_variance = self.network(x)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.network = model.decoder

        def forward(self, z):
            return ModelOutput(reconstruction=self.network(z))

    class Discriminator(BaseDiscriminator):
        def __init__(self):
            super().__init__()
            self.network, self.depth = model.discriminator, len(model.discriminator.layers)

        def forward(self, x, output_layer_levels=None):
            if output_layer_levels is None:
                return ModelOutput(embedding=self.network(x)[0].sigmoid())
            features = {}
            for n, layer in enumerate(self.network.layers[: max(output_layer_levels)], start=1):
                features[f"embedding_layer_{n}"] = layer(x)  # only up to the layer that is requested, as its own networks do
                x = functional.leaky_relu(features[f"embedding_layer_{n}"], 0.2)
            return ModelOutput(**features)

    return Encoder(), Decoder(), Discriminator()


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


_SIDES = {"ours": _our_steps, "naive": _naive_steps, "pythae": _pythae_steps}


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=80, help="base channels of the networks (80)")
    parser.add_argument("--batch", type=int, default=12, help="frames of a step (12)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured, in turn (5)")
    parser.add_argument("--steps", type=int, default=1, help="steps in each round; more of them on a GPU (1)")
    parser.add_argument("--size", default="256x144", help="frame size, WIDTHxHEIGHT (256x144)")
    parser.add_argument("--precision", default="auto", choices=["auto", "bfloat16", "float32"], help="of ours")
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "mps", "cpu"])
    run_command(lambda args: main(**{key: value for key, value in vars(args).items() if key != "debug"}), parser)
