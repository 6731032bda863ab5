"""A network in pictures: its layers, what they make of a frame of its film, and what its latents do. One HTML file.

python -m refilm.render_network --model results/models/bikes/model.safetensors --title Bikes
    --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5 --film-title Bikes
    --page results/models/bikes/network.html

Of a model without an encoder, such as dcgan, give no frames and no latents: the frame is the first of its samples.
"""

import argparse
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from refilm.config.keys import GlobalKeys, add_option
from refilm.config.recipe import metadata_of_model
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write
from refilm.core.provenance import made_by
from refilm.core.sampling import evenly_spaced
from refilm.core.times import format_time, frame_at
from refilm.frames.latents import LatentStore
from refilm.frames.store import FrameStore
from refilm.models.base import Model, to_frames, to_network
from refilm.models.device import choose_device
from refilm.models.hybrid import Hybrid
from refilm.models.inference import batch_ranges, inference_batch
from refilm.models.latent_effects import effects, moments_over_film, moved_frames
from refilm.models.layer_trace import first_kernels, trace_frame
from refilm.models.model_file import load_model
from refilm.models.provenance import text_of_decoded, text_of_model
from refilm.rendering import network
from refilm.rendering.samples import independent_noise

_CANDIDATES = 8  # frames, of which the one with the most contrast is shown
_DRAWS = 4096  # of a prior, for its moments


@dataclass(frozen=True)
class _Frame:
    """What is shown. frames: of the batch, uint8 (B, H, W, 3), or None; latents: of the batch, float32 (B, latent_dim); row:
    of the frame in it; mean, std: of each latent, (latent_dim,); about: the frame in words; provenance: of the page."""

    frames: np.ndarray | None
    latents: np.ndarray
    row: int
    mean: np.ndarray
    std: np.ndarray
    about: str
    provenance: str


def main(args: argparse.Namespace) -> None:
    page = Path(args.page)
    model = load_model(args.model, choose_device(args.device))
    shown = _of_film(model, args) if model.recipe.spec.reconstructs else _of_prior(model, args)
    device = next(model.parameters()).device
    frames = None if shown.frames is None else to_network(torch.from_numpy(shown.frames).to(device))
    trace = trace_frame(model, frames, torch.from_numpy(shown.latents).to(device), shown.row)
    strength = effects(model, shown.latents, shown.row, shown.std, f"network {page.parent.name}")
    most = np.argsort(-strength, kind="stable")[: network.MOST_EFFECT]
    recipe, steps = model.recipe, int(metadata_of_model(args.model).get("steps", 0))
    html = network.NetworkPage(
        title=args.title,
        facts=[f"Recipe {recipe.recipe}, {recipe.base_channels} base channels, {steps:,} steps of training", shown.about],
        frames=_pictures(model, shown, trace.reconstruction),
        tables=network.layer_tables(trace.layers),
        code=network.code_pictures(model.code) if isinstance(model, Hybrid) else [],
        parts=network.activation_pictures(trace.activations),
        bars=network.bars_of(shown.latents[shown.row], shown.mean, shown.std),
        kernels=network.kernel_pictures(first_kernels(model)),
        moved=[_moved(model, shown, int(number), float(strength[number])) for number in most],
        of_prior=shown.frames is None,
    ).to_html(args.made_of, shown.provenance)
    with atomic_write(page) as partial:
        partial.write_text(html, encoding="utf-8")
    print(f"{page}: {len(trace.layers)} layers, {shown.about}, {len(html) / 1e6:.1f} MB")


def _of_film(model: Model, args: argparse.Namespace) -> _Frame:
    """The frame at --at, or one of much contrast, with the frames that are decoded in its batch."""
    if not (args.frames and args.latents):
        raise RefilmError(f"{args.model}: give --frames and --latents of a film that it reconstructs")
    with ExitStack() as stack:
        film, latents = stack.enter_context(FrameStore(args.frames)), stack.enter_context(LatentStore(args.latents))
        latents.check_model(model.recipe.latent_dim, args.model)
        latents.check_film(film, model.recipe.size)
        index = frame_at(args.at, film.fps, len(film)) if args.at else _frame_of_contrast(film)
        whole = next(whole for whole, own in batch_ranges(len(film), inference_batch(model)) if index in own)
        written_by = made_by("render_network", "torch", "pillow")
        return _Frame(
            film[whole.start : whole.stop],
            latents[whole.start : whole.stop],
            index - whole.start,
            *moments_over_film(latents),
            f"frame {index:,} of {args.film_title}, at {format_time(index / film.fps)}",
            text_of_decoded(written_by, film.attributes, [latents.attributes], [args.model]),
        )


def _of_prior(model: Model, args: argparse.Namespace) -> _Frame:
    """The first of the model's samples, with those that are decoded in its batch."""
    if args.frames or args.latents or args.at:
        raise RefilmError(f"{args.model}: recipe {model.recipe.recipe} has no encoder: give no --frames, --latents and --at")
    dim = model.recipe.latent_dim
    draws = model.prior_latents(independent_noise(_DRAWS, dim, 1)).numpy()
    latents = model.prior_latents(independent_noise(inference_batch(model), dim, 0)).numpy()
    provenance = text_of_model(args.model, made_by("render_network", "torch", "pillow"))
    return _Frame(None, latents, 0, *moments_over_film(draws), "the first of its samples", provenance)


def _frame_of_contrast(film: FrameStore) -> int:
    """Of some frames, evenly spaced, the one with the most contrast: no black one, and no title on an even ground."""
    candidates = evenly_spaced(len(film), _CANDIDATES)
    contrast = film.read(candidates).mean(axis=3).std(axis=(1, 2))
    return candidates[int(np.argmax(contrast))]


def _pictures(model: Model, shown: _Frame, reconstruction: torch.Tensor) -> list[network.Picture]:
    """The frame and what becomes of it; reconstruction: (3, H, W) in [-1, 1]."""
    remembered = to_frames(reconstruction[None])[0].numpy()
    if shown.frames is None:
        return [network.frame_picture(remembered, "what the generator makes of the sample")]
    pictures = [network.frame_picture(shown.frames[shown.row], "as the film has it")]
    if isinstance(model, Hybrid):
        latents = torch.from_numpy(shown.latents[shown.row][None]).to(model.code.mean.device)
        pictures.append(
            network.frame_picture(to_frames(model.code.decode(latents))[0].cpu().numpy(), "as the linear code has it")
        )
    return [*pictures, network.frame_picture(remembered, "as the network remembers it")]


def _moved(model: Model, shown: _Frame, number: int, effect: float) -> network.Moved:
    offsets = [step * float(shown.std[number]) for step in network.STEPS]
    pictures = moved_frames(model, shown.latents, shown.row, number, offsets)
    captions = [f"number {number + 1} {step:+d}" if step else "as it is" for step in network.STEPS]
    steps = [network.frame_picture(picture, caption) for picture, caption in zip(pictures, captions, strict=True)]
    return network.Moved(number + 1, effect, [*steps, network.change_picture(pictures[0], pictures[-1], captions[-1])])


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the trained model")
    parser.add_argument("--title", required=True, help="its title")
    parser.add_argument("--frames", default="", help="frames file of a film")
    parser.add_argument("--latents", default="", help="its latents by this model")
    parser.add_argument("--film-title", default="", help="the film's title")
    parser.add_argument("--at", default="", help="HH:MM:SS of the frame (default: one of 8 frames with the most contrast)")
    parser.add_argument("--page", required=True, help="the HTML file to write")
    parser.add_argument("--made-of", default="", help="what a plan knows it by")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
