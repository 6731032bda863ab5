"""A contact sheet: frames of a film above their reconstructions.

python -m refilm.render_stills --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5
    --model results/models/bikes/model.safetensors --title Bikes --by Bikes --sheet results/stills/bikes_by_bikes.png
"""

import argparse

import pandas as pd

from refilm.config.keys import GlobalKeys, add_option
from refilm.core.command_line import check_count, command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.provenance import made_by
from refilm.core.sampling import evenly_spaced
from refilm.core.times import format_times
from refilm.frames.latents import LatentStore
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore
from refilm.models.device import choose_device
from refilm.models.inference import decode_frames
from refilm.models.model_file import load_model
from refilm.models.pictures import add_reconstruction_options
from refilm.models.provenance import text_of_decoded
from refilm.rendering.sheet import write_sheet

_REMARKS = {"time": "", "shots": "shots, ", "best": "the best shots, ", "worst": "the worst shots, "}


def main(args: argparse.Namespace) -> None:
    check_count(args.count)
    with FrameStore(args.frames) as film, LatentStore(args.latents) as latents:
        model = load_model(args.model, choose_device(args.device))
        latents.check_model(model.recipe.latent_dim, args.model)
        latents.check_film(film, model.recipe.size)
        indices = _indices(film, args)
        rows = {"original": film.read(indices), "reconstruction": decode_frames(model, latents, indices)}
        times = format_times([n / film.fps for n in indices])
        written_by = made_by("render_stills", "torch", "pillow")
        provenance = text_of_decoded(written_by, film.attributes, [latents.attributes], [args.model])
        remark = f"{_REMARKS[args.order]}above, and below it as remembered by {args.by}"
        write_sheet(args.sheet, rows, args.title, remark, times, provenance=provenance)
    print(f"{args.sheet}: {len(indices)} frames")


def _indices(film: FrameStore, args: argparse.Namespace) -> list[int]:
    """The frames that are shown, in their order."""
    if args.order == "time":
        return evenly_spaced(len(film), args.count)
    shots = find_shots(film)
    if args.order == "shots":
        return [(shots[n].start + shots[n].stop) // 2 for n in evenly_spaced(len(shots), args.count)]
    table = pd.read_csv(args.metrics)
    if len(table) != len(film):
        raise RefilmError(
            f"{args.metrics}: {len(table)} rows, but {film.path} has {len(film)} frames: measure the film again"
        )
    ssim = table["ssim"].where(table["composition"].notna())  # an even frame is no work to reconstruct
    best = args.order == "best"
    if best:  # whatever is lost in a plain picture, SSIM is high
        ssim = ssim.where(table["film_contrast"] >= table["film_contrast"][ssim.notna()].median())
    of_shots = [part for shot in shots if not (part := ssim[shot.start : shot.stop].dropna()).empty]
    if not of_shots:
        raise RefilmError(f"{args.metrics}: the film has even frames only: there is no best or worst one")
    chosen = [int(part.idxmax() if best else part.idxmin()) for part in of_shots]
    return sorted(chosen, key=lambda frame: ssim[frame], reverse=best)[: args.count]


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    add_reconstruction_options(parser)
    parser.add_argument("--sheet", required=True, help="the PNG to write")
    parser.add_argument("--count", type=int, default=16, help="number of frames (default: 16)")
    parser.add_argument(
        "--order",
        choices=_REMARKS,
        default="time",
        help="time: evenly spaced (default); shots: the middle of each shot; best, worst: of each shot the frame of the "
        "highest or lowest SSIM, the best or worst shots first; best: of the half of the film with more contrast",
    )
    parser.add_argument("--metrics", default="", help="the CSV of measure_film, for best and worst")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
