"""A film beside what models make of it, frame by frame."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from refilm.core.errors import RefilmError
from refilm.core.prefetch import prefetch
from refilm.frames.latents import LatentStore
from refilm.frames.metadata import Attribute
from refilm.frames.store import FrameStore
from refilm.models.inference import decode_latents
from refilm.models.model_file import load_model

_CHUNK = 16  # frames of the original read at once

Pictures = list[Iterator[np.ndarray]]


def film_and_reconstructions(
    stack: ExitStack,
    film: FrameStore,
    latents_files: Sequence[Path | str],
    model_files: Sequence[Path | str],
    device: torch.device,
    first: int = 0,
    end: int | None = None,
) -> tuple[Pictures, list[dict[str, Attribute]]]:
    """(pictures, encoded): of the film and then of each model the frames `first` to `end`, uint8 (n, H, W, 3) at a time; and
    the attributes of the latents.

    stack: closes the latents files. Raises RefilmError where latents, models and film do not belong together.
    """
    if len(latents_files) != len(model_files):
        raise RefilmError("--latents and --models: give as many of each, in the same order")
    pictures, encoded = [film.batches(_CHUNK, first, end)], []
    for latents_file, model_file in zip(latents_files, model_files, strict=True):
        latents, model = stack.enter_context(LatentStore(latents_file)), load_model(model_file, device)
        latents.check_model(model.recipe.latent_dim, model_file)
        latents.check_film(film, model.recipe.size)
        encoded.append(latents.attributes)
        pictures.append(prefetch(decode_latents(model, latents, first, end)))
    return pictures, encoded


def add_reconstruction_options(parser: argparse.ArgumentParser) -> None:
    """The options that name a film and a reconstruction of it."""
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--latents", required=True, help="its latents")
    parser.add_argument("--model", required=True, help="the model that decodes them")
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--by", required=True, help="the model's title")
