"""All GPU figures in one command, on a machine with only torch, h5py and numpy: as a table and as JSON.

    python -m benchmarks.gpu [--json FILE] [--steps 2000] [--batches 192,384]
    python -m benchmarks.gpu --dry          on a CPU, small: only whether it runs

Where refilm is not installed: PYTHONPATH=workflow/scripts before it.

Claims: six epochs of a feature film, 168,480 frames of 256x144, batch 12, larsen2015, in 10 minutes on an H100; at the
fastest batch size 30 % of the bf16 matrix rate measured in the same run; frames from the disk at 97 % of the rate of frames
in memory. A step is all of Trainer.train_step, with reading, copying, optimiser, moving average and metrics as in training.
Operations are counted on the plain layers, two for a multiplication and addition, forwards and backwards.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.nn.utils.parametrize import cached
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import default_recipe, random_film
from refilm.config.recipe import Recipe
from refilm.frames.store import FrameStore
from refilm.models.base import Batch, StepContext, to_network
from refilm.models.device import capture_stream, choose_device, device_name
from refilm.models.registry import build_model
from refilm.training.loop import load_resident_frames
from refilm.training.recorder import REPORT_STEPS
from refilm.training.sampler import FrameSampler
from refilm.training.trainer import Trainer

FEATURE_FILM = 168_480  # frames of 117 minutes
EPOCHS = 6


def main(args) -> dict:
    device = choose_device("cpu" if args.dry else "cuda")
    small = {"base_channels": 8, "frame_size": "64x48", "latent_dim": 16, "batch_size": 2} if args.dry else {}
    frames, steps = (64, 20) if args.dry else (4096, args.steps)
    figures = {"machine": device_name(device), "torch": torch.__version__}
    rate = figures["matrix_tflops"] = matrix_rate(device, 512 if args.dry else 8192)
    operations = operations_per_frame(default_recipe(**small, steps=1))
    figures["gflop_per_frame"] = operations / 1e9
    _print_figure("bf16 matrix product", f"{rate:.0f} TFLOP/s")
    figures["gradient_error"] = gradient_error(device, compiled=not args.dry)
    _print_figure("gradients in float32, against the plain step on the CPU", f"{figures['gradient_error']:.1e}", "1e-04")

    with tempfile.TemporaryDirectory() as scratch:
        recipe = default_recipe(**small, steps=10**6)
        film = random_film(Path(scratch, "film.h5"), frames, recipe.size)
        resident = seconds_per_step(recipe, film, device, steps, compiled=not args.dry, on_device=True)
        total = EPOCHS * FEATURE_FILM / recipe.batch_size * resident
        figures |= {"step_s": resident, "film_min": total / 60, "frames_per_s": recipe.batch_size / resident}
        _print_figure(f"step, batch {recipe.batch_size}", f"{resident * 1e3:.2f} ms")
        _print_figure("six epochs of 168,480 frames", f"{total / 60:.1f} min", "10 min on an H100")

        figures["batches"] = {}
        for batch in [4] if args.dry else [int(word) for word in args.batches.split(",")]:
            larger = default_recipe(**small | {"steps": 10**6, "batch_size": batch})
            each = seconds_per_step(larger, film, device, max(10, steps // 20), compiled=not args.dry, on_device=True)
            share = operations * batch / each / (rate * 1e12)
            figures["batches"][batch] = {"step_s": each, "frames_per_s": batch / each, "share_of_matrix_rate": share}
            _print_figure(f"batch {batch}: {batch / each:.0f} frames/s, share of the matrix rate", f"{share:.1%}", "30 %")

        streamed = seconds_per_step(recipe, film, device, steps, compiled=not args.dry, on_device=False)
        figures["from_disk"] = resident / streamed
        _print_figure("rate with frames from disk, of that with frames on the GPU", f"{resident / streamed:.1%}", "97 %")

        plain = seconds_per_step(recipe, film, device, max(5, steps // 20), compiled=False, on_device=True)
        figures["step_not_compiled_s"] = plain
        _print_figure("step, not compiled", f"{plain * 1e3:.2f} ms")
    print(json.dumps(figures))
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def _print_figure(what: str, figure: str, goal: str = "") -> None:
    print(f"{what:<62} {figure:>14}   {goal}", flush=True)


def matrix_rate(device: torch.device, side: int) -> float:
    """TFLOP/s of a product of random square bf16 matrices: the median of five runs of twenty."""
    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    runs = []
    for _ in range(6):
        _wait(device)
        began = time.perf_counter()
        for _ in range(20):
            one @ other
        _wait(device)
        runs.append(time.perf_counter() - began)
    return 20 * 2 * side**3 / statistics.median(runs[1:]) / 1e12


def operations_per_frame(recipe: Recipe, batch: int = 2) -> float:
    """Floating-point operations of the gradients of a step, a frame; counted on the CPU, where layers are plain."""
    model = build_model(recipe)
    width, height = recipe.size
    inputs = Batch(torch.rand(batch, 3, height, width), *torch.randn(2, batch, recipe.latent_dim).unbind())
    with cached():
        for layer in model.modules():  # compute parametrized kernels first: the counter cannot follow a step through them
            getattr(layer, "weight", None)
        with FlopCounterMode(display=False) as counter:
            model.gradients(inputs, StepContext())
    return counter.get_total_flops() / batch


def gradient_error(device: torch.device, compiled: bool) -> float:
    """Largest relative difference of a network's gradient between the device, as it computes there, and the plain step
    on the CPU, both in float32."""
    recipe = default_recipe(base_channels=16, frame_size="64x48", latent_dim=16, batch_size=4, precision="float32", steps=1)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (4, 48, 64, 3), generator=generator, dtype=torch.uint8)
    batch = Batch(frames, *torch.randn(2, 4, 16, generator=generator).unbind())
    trainer, reference = Trainer(recipe, device, compiled), build_model(recipe)
    reference.load_state_dict(trainer.model.state_dict())
    tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    ours = trainer.gradients(batch.map(lambda tensor: tensor.to(device))).gradients
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32
    plain = reference.gradients(Batch(to_network(frames), batch.noise, batch.prior), StepContext()).gradients
    flat = {name: torch.cat([tensor.cpu().flatten() for tensor in tensors]) for name, tensors in ours.items()}
    expected = {name: torch.cat([tensor.flatten() for tensor in tensors]) for name, tensors in plain.items()}
    return max(((flat[name] - expected[name]).norm() / expected[name].norm()).item() for name in expected)


def seconds_per_step(recipe: Recipe, film: Path, device: torch.device, steps: int, compiled: bool, on_device: bool) -> float:
    """Wall time of a training step, warmed up, over `steps` steps."""
    with capture_stream(device), FrameStore(film) as store:
        sampler = FrameSampler([store], recipe, pinned=device.type == "cuda")
        resident = load_resident_frames(sampler, device) if on_device else None
        trainer = Trainer(recipe, device, compiled, resident_frames=resident)
        warm_up = 25
        for step, batch in enumerate(sampler.batches(0, warm_up + steps)):
            if step == warm_up:
                trainer.pop_metrics()
                began = time.perf_counter()
            trainer.train_step(batch, recipe.steps)
            if step % REPORT_STEPS == 0:
                trainer.pop_metrics()
        _wait(device)
        elapsed = time.perf_counter() - began
    del trainer, resident
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return elapsed / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="small, on the CPU: only whether it runs")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--steps", type=int, default=2000, help="steps that are timed at batch 12")
    parser.add_argument("--batches", default="192,384", help="batch sizes of which the fastest counts")
    main(parser.parse_args())
