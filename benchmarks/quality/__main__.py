"""How well models reconstruct a film and answer others, compared with the best linear code of the same size.

    python -m benchmarks.quality --film results/frames/256x144/bigbuckbunny.h5 --seconds 300 --out results/quality
        --others results/frames/256x144/sintel-trailer.h5
    python -m benchmarks.quality --film results/frames/256x144/bigbuckbunny.h5 --out results/quality
        --models bigbuckbunny=results/models/bigbuckbunny/model.safetensors        # nothing is trained
    python -m benchmarks.quality --dry                            # a generated film, a few steps: does it run here?
    python -m benchmarks.quality --table results/quality          # the table and the picture of a run made elsewhere

One run: whole shots of the film are held out, each recipe is trained on the rest for the same seconds (or steps), and every
model is measured on frames that it saw, on held-out frames, and on other films. A recipe may have its own settings:
`larsen2015:adversarial_ratio=0.2,base_channels=40`. Trained models are measured in the same way; a model whose
holdout_fraction and seed are --holdout and --seed has not seen the held-out frames. Needs frames files, and only torch,
numpy, h5py, pillow, safetensors and tqdm; for ST-LPIPS the wheel stlpips-pytorch, or the path of its weights.

Writes quality.json, quality.npz and quality.png; docs/quality.md explains the metrics.
"""

import argparse
import csv
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import default_recipe, settings_of
from benchmarks.quality.frames import Part, measured, part_of, shots_of
from benchmarks.quality.linear import LinearCode, even_frames
from benchmarks.quality.measure import measure
from benchmarks.quality.report import draw, table, write_results
from benchmarks.quality.st_lpips import StLpips
from benchmarks.quality.style import Style
from refilm.config.recipe import Recipe
from refilm.config.recipes import RECIPES
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import scratch_folder
from refilm.core.times import format_time
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.models.base import Model
from refilm.models.device import choose_device, device_name
from refilm.models.inference import BATCH, decode_latents, encode_film
from refilm.models.model_file import load_model
from refilm.training.loop import train
from refilm.training.sampler import hold_out_shots
from refilm.training.trainer import Trainer

_RECIPES = [name for name, spec in RECIPES.items() if spec.reconstructs]
_FLOORS = ("pca", "even")  # measured in every run
_PROBE_STEPS = 100  # by which the speed of a recipe is measured
_SHOWN = {"seen": 3, "held out": 3}  # lines of the picture; each other film has one
_CANDIDATES = 9  # frames of which the one with the highest contrast is shown
_NUMBER_BYTES = 4  # as latents files keep them, and model.safetensors most
_DRY = {"base_channels": 8, "latent_dim": 16, "batch_size": 8, "precision": "float32"}

Reconstruct = Callable[[FrameStore], Iterator[np.ndarray]]  # consecutive batches of frames, uint8 (n, H, W, 3)


def main(args: argparse.Namespace) -> None:
    if args.table:
        return _show(args.table)
    if not (args.film or args.dry):
        raise RefilmError("--film is missing: give a frames file, or --dry for a generated film")
    with scratch_folder() as scratch:
        if args.dry:
            args.film, args.others = str(_generated_film(scratch / "made.h5", 0)), [_generated_film(scratch / "other.h5", 1)]
            args.steps, args.holdout = args.steps or 4, 0.25
        run(args, Path(args.work or scratch))
    return _show(args.out)


def run(args: argparse.Namespace, work: Path) -> None:
    """Train, measure and write. The files are written again after every model, so that no finished model is lost."""
    device = choose_device(args.device)
    trained = _trained_models(args.models, device)
    recipes = args.recipes if args.recipes is not None else [] if trained else _RECIPES
    _check_names([*trained, *recipes, *_FLOORS])
    measuring = device if device.type == "cuda" else torch.device("cpu")  # MPS has no float64
    st_lpips = None if args.st_lpips == "none" else StLpips(measuring, args.st_lpips)
    with FrameStore(args.film) as film:
        count, size = len(film), f"{film.width}x{film.height}"
        seen, parts = _parts(args, film, work)
    for name, model in trained.items():
        if model.recipe.frame_size != size:
            raise RefilmError(f"--models: {name}: its frames are {model.recipe.frame_size}, those of {args.film} {size}")
    style = Style(seen.path, measuring)
    settings = {"frame_size": size, "seed": args.seed} | (_DRY if args.dry else {}) | settings_of(args.set)
    results = {
        "film": {
            "name": args.title or Path(args.film).stem,
            "frames": count,
            "size": size,
            "held_out": count - len(seen.numbers),
            "style": {name: _style_of_film(part, style) for name, part in parts.items()},
        },
        "budget": _budget(args) if recipes else "Nothing was trained",
        "machine": device_name(device),
        "torch": torch.__version__,
        "seed": args.seed,
        "command": shlex.join(["python", "-m", "benchmarks.quality", *sys.argv[1:]]),
        "notes": _notes(trained, args) if "held out" in parts else [],
        "models": {},
    }
    shown, captions = _originals(parts)
    searched = {f"{name}, search {args.search}": name for name in trained if args.search}
    for name in [*trained, *searched, *recipes, *_FLOORS]:
        if name in trained:
            model, reconstruct = _cost_of(trained[name]), _reconstructs(trained[name])
        elif name in searched:
            of = trained[searched[name]]
            model, reconstruct = _cost_of(of), _reconstructs(of, args.search)
        elif name in _FLOORS:
            model, reconstruct = _floor(name, seen, default_recipe(**settings).latent_dim, device)
        else:
            model, reconstruct = _fit(name, settings, seen, work, device, args)
        model["bits_per_pixel"] = _bits_per_pixel(model, count, size)
        model["parts"], frames = {}, []
        for title, part in parts.items():
            with FrameStore(part.path) as film:
                recon = _keeping(reconstruct(film), _places(title, part), frames)
                model["parts"][title] = measure(part, recon, st_lpips, style, measuring)
        if name != "even":
            shown[name] = np.stack(frames)
        results["models"][name] = model
        write_results(Path(args.out), results, shown, captions)


def _trained_models(words: list[str], device: torch.device) -> dict[str, Model]:
    models = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (equals and name and path):
            raise RefilmError(f"--models: {word}: write NAME=path of a model.safetensors")
        if name in models:
            raise RefilmError(f"--models: {name} is given twice")
        models[name] = load_model(path, device)
    return models


def _check_names(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise RefilmError(f"{name} is given twice: give each model and recipe another name than {', '.join(_FLOORS)}")


def _budget(args) -> str:
    return "Same for every recipe: " + (
        f"{args.steps:,} steps" if args.steps else f"{args.seconds:,.0f} seconds of training"
    )


def _notes(trained: dict[str, Model], args) -> list[str]:
    """A line for each trained model that may have seen the held-out frames."""
    notes = []
    for name, model in trained.items():
        fraction, seed = model.recipe.holdout_fraction, model.recipe.seed
        if args.held_out or (fraction, seed) != (args.holdout, args.seed):
            notes.append(
                f"`{name}` was trained with `holdout_fraction` {fraction:g} and seed {seed}, perhaps on held-out frames."
            )
    return notes


def _parts(args, film: FrameStore, work: Path) -> tuple[Part, dict[str, Part]]:
    """The frames that are trained on, and those that are measured: of the film seen and held out, and of others."""
    shots = shots_of(film.path)
    held = np.loadtxt(args.held_out, int, ndmin=1) if args.held_out else hold_out_shots(shots, args.holdout, args.seed)
    if len(held) and not 0 <= held.min() <= held.max() < len(film):
        raise RefilmError(f"{args.held_out}: frame numbers {held.min()} to {held.max()} of a film of {len(film)} frames")
    kept = np.setdiff1d(np.arange(len(film)), held)
    seen = part_of(film, kept, shots, work / "seen.h5")
    parts = {"seen": part_of(film, measured(kept, args.frames), shots, work / "measured-seen.h5")}
    if len(held):
        parts["held out"] = part_of(film, measured(held, args.frames), shots, work / "measured-held-out.h5")
    for path in map(Path, args.others):
        with FrameStore(path) as other:
            if (other.width, other.height) != (film.width, film.height):
                raise RefilmError(f"{path}: frames are {other.width}x{other.height}, not {film.width}x{film.height}")
            numbers = measured(np.arange(len(other)), args.frames)
            parts[f"never seen: {path.stem}"] = part_of(other, numbers, shots_of(path), work / f"measured-{path.name}")
    return seen, parts


def _fit(
    recipe_and_settings: str, settings: dict, seen: Part, work: Path, device: torch.device, args
) -> tuple[dict, Reconstruct]:
    """Train one recipe: (cost of the training, a function that reconstructs a film)."""
    name, _, own = recipe_and_settings.partition(":")
    settings = {**settings, **settings_of(own.split(",") if own else []), "recipe": name}
    steps = args.steps or _steps_for(args.seconds, settings, seen, work / "probe" / recipe_and_settings, device)
    recipe = default_recipe(**settings, steps=steps)
    trainer, last = _train(recipe, seen, work / recipe_and_settings, device)
    model = trainer.ema.eval()
    cost = {
        "seconds": float(last["seconds"]),
        "steps": steps,
        "frames_per_s": round(steps * recipe.batch_size / float(last["seconds"]), 1),
    }
    return _cost_of(model) | cost, _reconstructs(model)


def _floor(name: str, seen: Part, latent_dim: int, device: torch.device) -> tuple[dict, Reconstruct]:
    """(cost, a function that reconstructs a film) of `pca` or `even`."""
    nothing = {"seconds": None, "steps": None, "frames_per_s": None}
    if name == "even":
        return nothing | {"values": 0, "latent": 3}, even_frames
    with FrameStore(seen.path) as film:
        began = time.perf_counter()
        code = LinearCode(film, latent_dim, device)
        seconds = time.perf_counter() - began
    values, latents = code.components.numel() + code.mean.numel(), code.components.shape[1]
    cost = nothing | {"seconds": round(seconds, 1), "values": values, "latent": latents}
    return cost, lambda film: code.reconstruct(film, BATCH)


def _cost_of(model: Model) -> dict:
    """What a model costs; how long its training took is not known from it."""
    return {
        "recipe": json.loads(model.recipe.to_json()),
        "seconds": None,
        "steps": None,
        "frames_per_s": None,
        "values": _decoder_bytes(model) / _NUMBER_BYTES,
        "latent": model.recipe.latent_dim,
    }


def _decoder_bytes(model: Model) -> int:
    """What of a model's file decodes latents."""
    others = ("encoder.", "discriminator.")
    weights = (tensor for name, tensor in model.state_dict().items() if not name.startswith(others))
    return sum(tensor.numel() * tensor.element_size() for tensor in weights)


def _reconstructs(model: Model, search: int = 0) -> Reconstruct:
    return lambda film: decode_latents(model, np.concatenate(list(encode_film(model, film, search=search))))


def _steps_for(seconds: float, settings: dict, seen: Part, folder: Path, device: torch.device) -> int:
    """Number of steps that a recipe makes in that time, by the last rows of a short training (the first ones warm up)."""
    recipe = default_recipe(**settings, steps=_PROBE_STEPS)
    _, last = _train(recipe, seen, folder, device)
    return max(1, round(seconds * float(last["frames_per_s"]) / recipe.batch_size))


def _train(recipe: Recipe, seen: Part, folder: Path, device: torch.device) -> tuple[Trainer, dict]:
    """The trainer, and the last row of its training.csv."""
    trainer = train(recipe, [seen.path], folder, device)
    with open(folder / "training.csv", newline="") as file:
        return trainer, list(csv.DictReader(file))[-1]


def _style_of_film(part: Part, style: Style) -> float:
    """How far the frames of a part themselves are from the film that is trained on."""
    with FrameStore(part.path) as film:
        return round(style(torch.from_numpy(film.read(style.places(len(film))))), 4)


def _bits_per_pixel(model: dict, frames: int, size: str) -> dict[str, float]:
    """Size of the decoder and of the latents in bits, over all pixels of the film."""
    width, height = map(int, size.split("x"))
    weights = 8 * _NUMBER_BYTES * model["values"] / (frames * width * height)
    return {"weights": round(weights, 4), "latents": round(8 * _NUMBER_BYTES * model["latent"] / (width * height), 4)}


def _originals(parts: dict[str, Part]) -> tuple[dict[str, np.ndarray], list[str]]:
    """({'film': the frames that the picture shows}, the caption of each)."""
    frames, captions = [], []
    for name, part in parts.items():
        with FrameStore(part.path) as film:
            places = _places(name, part)
            frames.append(film.read(places))
            captions += [f"{name}, {format_time(part.numbers[place] / film.fps)}" for place in places]
    return {"film": np.concatenate(frames)}, captions


def _places(name: str, part: Part) -> list[int]:
    """Of each stretch of a part the frame with the highest contrast among some: dark frames show little."""
    wanted = min(_SHOWN.get(name, 1), len(part.numbers))
    with FrameStore(part.path) as film:
        stretches = np.array_split(np.arange(len(film)), wanted)
        some = [stretch[:: max(1, len(stretch) // _CANDIDATES)].tolist() for stretch in stretches]
        return [max(places, key=lambda place: film[place].std()) for places in some]


def _keeping(batches: Iterator[np.ndarray], places: list[int], kept: list[np.ndarray]) -> Iterator[np.ndarray]:
    """The batches; the frames at those places are added to `kept` as they pass."""
    start = 0
    for batch in batches:
        kept += [batch[place - start] for place in places if start <= place < start + len(batch)]
        start += len(batch)
        yield batch


def _generated_film(path: Path, seed: int) -> Path:
    """A film of four shots, each of a square that moves over coloured tiles."""
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(4):
        wall = np.kron(random.integers(0, 256, (3, 4, 3)), np.ones((16, 16, 1), int)).astype(np.uint8)
        for n in range(24):
            frames.append(wall.copy())
            frames[-1][16:32, n : n + 16] = 255 - wall[16:32, n : n + 16]
    write_frames_from(path, 64, 48, FrameMetadata(Fraction(24)), [np.stack(frames)])
    return path


def _show(out: str) -> None:
    folder = Path(out).parent if out.endswith(".json") else Path(out)
    try:
        results = json.loads((folder / "quality.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RefilmError(f"{folder}: no results of a run: {error}") from error
    print(table(results))
    try:
        print(f"\n{draw(folder, results['film']['name'])}")
    except ImportError as error:
        print(f"\nthe picture is not drawn here ({error}): elsewhere, python -m benchmarks.quality --table {folder}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--film", help="frames file of the film to train on")
    parser.add_argument("--title", help="title of the film (default: the name of its file)")
    parser.add_argument("--others", nargs="*", default=[], help="frames files of films never seen")
    parser.add_argument("--recipes", nargs="*", help="recipes to train, each NAME or NAME:key=value,key=value")
    parser.add_argument(
        "--models", nargs="*", default=[], metavar="NAME=PATH", help="trained models, model.safetensors of each"
    )
    parser.add_argument("--search", type=int, default=0, help="measure --models after so many steps of latent search too")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of every recipe")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=float, default=300, help="training time of each recipe (300)")
    budget.add_argument("--steps", type=int, help="steps of each recipe instead")
    shots = parser.add_mutually_exclusive_group()
    shots.add_argument("--holdout", type=float, default=0.1, help="fraction of the frames held out, in whole shots (0.1)")
    shots.add_argument("--held-out", help="a text file of the numbers of the frames to hold out, from 0")
    parser.add_argument(
        "--frames", type=int, default=2048, help="maximum number of frames of each part that are measured (2048)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--st-lpips", help="the weights of ST-LPIPS if the wheel is not installed; none to leave it out")
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "mps", "cpu"])
    parser.add_argument("--out", default="results/quality", help="folder of the results")
    parser.add_argument("--work", help="folder of the trainings; stopped ones continue from it (default: temporary)")
    parser.add_argument("--table", metavar="OUT", help="only print the table and draw the picture of such results")
    parser.add_argument("--dry", action="store_true", help="a generated film, tiny networks, a few steps")
    run_command(main, parser)
