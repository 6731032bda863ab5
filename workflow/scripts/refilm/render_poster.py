"""A poster: thousands of frames of a reconstruction on one page, as PNG for the screen and PDF for the printer.

python -m refilm.render_poster --latents results/latents/bikes_by_bikes.h5 --model results/models/bikes/model.safetensors
    --title Bikes --by Bikes --frames 2000 --poster results/posters/bikes.png --page results/posters/bikes.pdf
"""

import argparse
from collections.abc import Iterator

import numpy as np

from refilm.config.keys import GlobalKeys, PosterKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.progress import progress_bar
from refilm.core.provenance import made_by
from refilm.core.sampling import evenly_spaced
from refilm.frames.latents import LatentStore
from refilm.models.base import Model
from refilm.models.device import choose_device
from refilm.models.inference import decode_frames
from refilm.models.model_file import load_model
from refilm.models.provenance import text_of_decoded
from refilm.rendering.poster import Page, draw_poster, write_poster

_CHUNK = 256  # frames decoded at once


def main(args: argparse.Namespace) -> None:
    with LatentStore(args.latents) as latents:
        model = load_model(args.model, choose_device(args.device))
        latents.check_model(model.recipe.latent_dim, args.model)
        page = Page.fit(args.width, args.height, args.dpi, model.recipe.size, min(args.frames, len(latents)))
        indices = evenly_spaced(len(latents), page.columns * page.rows)
        poster = draw_poster(page, _decoded(model, latents, indices), args.title, f"as remembered by {args.by}")
        written_by = made_by("render_poster", "torch", "pillow")
        provenance = text_of_decoded(written_by, latents.attributes, [latents.attributes], [args.model])
        write_poster(poster, page.dpi, args.title, provenance, args.poster, args.page)
    size = f"{page.width}x{page.height} pixels"
    print(f"{args.poster}, {args.page}: {len(indices)} frames in {page.columns} columns, {size}")


def _decoded(model: Model, latents: LatentStore, indices: list[int]) -> Iterator[np.ndarray]:
    """Frames of these indices, uint8 (H, W, 3)."""
    with progress_bar("poster", len(indices), " frames") as bar:
        for start in range(0, len(indices), _CHUNK):
            frames = decode_frames(model, latents, indices[start : start + _CHUNK])
            yield from frames
            bar.update(len(frames))


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--latents", required=True, help="the latents file")
    parser.add_argument("--model", required=True, help="the model that decodes it")
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--by", required=True, help="the model's title")
    for key in ("frames", "width", "height", "dpi"):
        add_option(parser, PosterKeys, key)
    parser.add_argument("--poster", required=True, help="the PNG to write")
    parser.add_argument("--page", required=True, help="the PDF to write")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
