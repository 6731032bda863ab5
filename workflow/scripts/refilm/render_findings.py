"""What the text of 2016 says, measured on the reconstructions of one model: a page, and the same as Markdown.

python -m refilm.render_findings --model results/models/bikes/model.safetensors --title Bikes
    --films '[{"name": "bikes", "title": "Bikes", "frames": "results/frames/256x144/bikes.h5",
    "latents": "results/latents/bikes_by_bikes.h5", "metrics": "results/metrics/bikes_by_bikes.csv", "beside": []}]'
    --page results/findings/bikes.html --table results/findings/bikes.md

beside: of models of the same recipe and frame size, which were trained on the film where this one was not, or the reverse:
{"title": ..., "metrics": ..., "watched": true, "holdout_fraction": 0.1, "seed": 0}
"""

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from refilm.config.keys import GlobalKeys, add_option
from refilm.config.recipe import metadata_of_model
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write
from refilm.core.progress import print_line
from refilm.core.provenance import made_by, provenance_text
from refilm.frames.latents import LatentStore
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore
from refilm.models.base import Model
from refilm.models.claims import POPULATIONS, MeasuredFilm, frame_table, measure_claims
from refilm.models.device import choose_device
from refilm.models.inference import decode_frames
from refilm.models.model_file import load_model
from refilm.models.provenance import model_of
from refilm.rendering.findings import Findings
from refilm.training.sampler import hold_out_shots


def main(args: argparse.Namespace) -> None:
    given = json.loads(args.films)
    if not given:
        raise RefilmError("--films: none is given: give at least one that the model reconstructs")
    model = load_model(args.model, choose_device(args.device))
    with ExitStack() as stack:
        films: list[MeasuredFilm] = []
        for each in given:
            first = sum(film.table["shot"].nunique() for film in films)
            films.append(_open(stack, model, args.model, each, first))
            print_line(f"{each['title']}: {len(films[-1].table):,} frames, {films[-1].table['shot'].nunique():,} shots")
        claims = measure_claims(films)
    findings = Findings(args.title, _facts(model, args.model), _populations(films), claims)
    written_by, known = made_by("render_findings", "torch", "numpy", "pandas", "matplotlib"), model_of(args.model)
    provenance = provenance_text(written_by, None, [known] if known else [])
    for path, text in ((args.page, findings.to_html(args.made_of, provenance)), (args.table, findings.to_markdown())):
        with atomic_write(Path(path)) as partial:
            partial.write_text(text, encoding="utf-8")
    for number, claim in enumerate(claims, 1):
        print(f"{number}. {claim.name}: {claim.verdict}")


def _open(stack: ExitStack, model: Model, model_file: str, given: dict[str, Any], first_shot: int) -> MeasuredFilm:
    """A film that stays open until the stack is closed."""
    film, latents = stack.enter_context(FrameStore(given["frames"])), stack.enter_context(LatentStore(given["latents"]))
    latents.check_model(model.recipe.latent_dim, model_file)
    latents.check_film(film, model.recipe.size)
    shots, metrics = find_shots(film), _metrics_of(given["metrics"], len(film))
    watched, recipe = given["name"] in model.recipe.films, model.recipe
    table = frame_table(metrics, shots, _held_out(shots, recipe.holdout_fraction, recipe.seed), watched, first_shot)
    beside = []
    for other in given["beside"]:
        held_out = _held_out(shots, other["holdout_fraction"], other["seed"])
        seen = frame_table(_metrics_of(other["metrics"], len(film)), shots, held_out, other["watched"])
        beside.append((other["title"], seen["share"].to_numpy(), seen["population"].to_numpy()))

    def rows_of(indices: Any) -> np.ndarray:
        return np.concatenate([latents[index : index + 1] for index in indices])

    return MeasuredFilm(given["title"], table, film.read, lambda n: decode_frames(model, latents, n), rows_of, beside)


def _metrics_of(path: str, frames: int) -> pd.DataFrame:
    metrics = pd.read_csv(path)
    if len(metrics) != frames:
        raise RefilmError(f"{path}: {len(metrics)} rows, but the film has {frames} frames: delete it to measure it again")
    return metrics


def _held_out(shots: list[range], fraction: float, seed: int) -> np.ndarray:
    return hold_out_shots(shots, fraction, seed) if fraction else np.empty(0, int)


def _facts(model: Model, path: str) -> list[str]:
    recipe, steps = model.recipe, int(metadata_of_model(path).get("steps", 0))
    facts = [
        f"Recipe {recipe.recipe}, {recipe.base_channels} base channels, frames of {recipe.frame_size}, {steps:,} steps of "
        "training."
    ]
    if recipe.initial_model:
        facts.append(
            "It started from the weights of another model: a film that only that one was trained on counts as never seen."
        )
    return facts


def _populations(films: list[MeasuredFilm]) -> list[tuple[str, int, int, str]]:
    """(label, frames, shots, titles of the films) of those that are there."""
    found = []
    for number, label in enumerate(POPULATIONS):
        parts = [(film.title, film.table[film.table["population"] == number]) for film in films]
        parts = [(title, part) for title, part in parts if len(part)]
        if parts:
            frames, shots = (
                sum(each) for each in zip(*((len(part), part["shot"].nunique()) for _, part in parts), strict=True)
            )
            found.append((label, frames, shots, "; ".join(title for title, _ in parts)))
    return found


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the trained model")
    parser.add_argument("--title", required=True, help="its title")
    parser.add_argument("--films", required=True, help="the films that it reconstructs, as JSON")
    parser.add_argument("--page", required=True, help="the HTML file to write")
    parser.add_argument("--table", required=True, help="the Markdown file to write")
    parser.add_argument("--made-of", default="", help="what a plan knows them by")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
