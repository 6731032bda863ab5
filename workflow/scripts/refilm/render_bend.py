"""Decode latents through a bent decoder to a video: features are transformed on their way. With the film's soundtrack.

python -m refilm.render_bend --latents results/latents/bikes_by_bikes.h5 --model results/models/bikes/model.safetensors
    --source films/bikes.mp4 --bend results/bent/melting.mp4
    --transforms '[{"transform": "rotate", "layers": [2], "share": 0.5, "parameters": {"by": "0 at 0, 90 at 10"}}]'
"""

import argparse
import json
from fractions import Fraction
from pathlib import Path

from refilm.config.keys import BendKeys, FilmKeys, GlobalKeys, VideoKeys, add_option
from refilm.config.transforms import TRANSFORMS
from refilm.core.command_line import command_parser, run_command
from refilm.core.curves import parse_curve
from refilm.core.errors import RefilmError, suggest
from refilm.core.prefetch import prefetch
from refilm.core.provenance import made_by
from refilm.core.times import TimeSpan
from refilm.frames.latents import LatentStore
from refilm.media.encode import encode_video
from refilm.media.ffmpeg import version
from refilm.media.sound import describe_sound, film_sound
from refilm.media.tags import read_tags
from refilm.models.bending import Bending, Step
from refilm.models.device import choose_device
from refilm.models.inference import decode_latents
from refilm.models.model_file import load_model
from refilm.models.provenance import text_of_decoded
from refilm.rendering.upscale import upscale, upscaled_size
from refilm.sources.listing import parse_rate


def main(args: argparse.Namespace) -> None:
    name, steps = Path(args.bend).stem, [_step(given) for given in json.loads(args.transforms)]
    with LatentStore(args.latents) as latents:
        fps = parse_rate(args.fps, "--fps") if args.fps else latents.fps
        if fps is None:
            raise RefilmError(f"{latents.path}: no attribute fps: give the frame rate, such as fps: 24")
        model = load_model(args.model, choose_device(args.device))
        latents.check_model(model.recipe.latent_dim, args.model)
        first, count = TimeSpan.parse(args.start, args.end).frame_range(fps, len(latents), f"bend '{name}'")
        sound = film_sound(args.source, latents.start_time + Fraction(first) / fps, args.audio)
        size = upscaled_size(model.recipe.size, args.height)
        written_by = made_by("render_bend", "torch", ffmpeg=version())
        with Bending(model, steps, fps, first, args.seed) as bending:
            encode_video(
                args.bend,
                prefetch(decode_latents(model, latents, first, first + count, bending.at)),
                count,
                model.recipe.size,
                fps,
                args.crf,
                sound,
                f"bend {name}",
                lambda stream: upscale(stream, size),
                text_of_decoded(written_by, latents.attributes, [latents.attributes], [args.model]),
                title=read_tags(args.source).title if args.source else "",
            )
    print(f"{args.bend}: {count} frames at {fps} frames/s, {describe_sound(sound, count / fps)}")


def _step(given: dict[str, object]) -> Step:
    """A step from JSON, with its curves."""
    values = dict(given)
    if values["transform"] not in TRANSFORMS:
        raise RefilmError(
            f"--transforms: unknown transform '{values['transform']}'{suggest(str(values['transform']), TRANSFORMS)}"
        )
    usual = TRANSFORMS[str(values["transform"])].parameters
    numbers = {**usual, **values.pop("parameters", {})}  # type: ignore[dict-item]
    values["parameters"] = {name: parse_curve(value, f"--transforms: {name}") for name, value in numbers.items()}
    values["amount"] = parse_curve(values.get("amount", 1), "--transforms: amount")  # type: ignore[arg-type]
    lists = {key: tuple(values[key]) for key in ("layers", "channels") if key in values}  # type: ignore[arg-type]
    return Step(**values | lists)  # type: ignore[arg-type]


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--latents", required=True, help="the latents file")
    parser.add_argument("--model", required=True, help="the model whose decoder is bent")
    parser.add_argument("--transforms", required=True, help="what is done to its features, as JSON")
    parser.add_argument("--source", default="", help="the film file, for its sound; without it the video is silent")
    add_option(parser, FilmKeys, "audio")
    parser.add_argument("--bend", required=True, help="the MP4 to write")
    for key in ("start", "end", "fps", "seed", "height"):
        add_option(parser, BendKeys, key)
    add_option(parser, VideoKeys, "crf")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
