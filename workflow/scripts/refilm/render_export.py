"""Decode latents for a screen or a wall: enlarged, in a codec of players, editors or archives, with the film's soundtrack.

python -m refilm.render_export --latents results/latents/bikes_by_bikes.h5 --model results/models/bikes/model.safetensors
    --source films/bikes.mp4 --export results/exports/wall.mp4 --height 2160
"""

import argparse
from pathlib import Path

from refilm.config.keys import ExportKeys, FilmKeys, GlobalKeys, VideoKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.prefetch import prefetch
from refilm.core.provenance import made_by
from refilm.core.times import TimeSpan
from refilm.frames.latents import LatentStore
from refilm.media.export import Picture, export_frames
from refilm.media.ffmpeg import version
from refilm.media.sound import describe_sound, film_sound
from refilm.media.tags import Tags, read_tags
from refilm.models.base import Model
from refilm.models.device import choose_device
from refilm.models.inference import decode_frames, decode_latents
from refilm.models.model_file import load_model
from refilm.models.provenance import text_of_decoded

_SAME_LEVELS = 1  # by which equal frames may differ after a GPU's arithmetic


def main(args: argparse.Namespace) -> None:
    if args.screens < 1 or args.height < 2 or args.height % 2:
        raise RefilmError("--screens must be 1 or more, and --height an even number of pixels")
    name = Path(args.export).stem
    with LatentStore(args.latents) as latents:
        model = load_model(args.model, choose_device(args.device))
        latents.check_model(model.recipe.latent_dim, args.model)
        if latents.fps is None:
            raise RefilmError(f"{latents.path}: no attribute fps: make it with encode_film")
        span = TimeSpan.parse(args.start, args.end)
        first, count = span.frame_range(latents.fps, len(latents), f"export '{name}'")
        end = first + count
        if args.loop:
            end = _loop_end(model, latents, first, end)
        count, seconds = end - first, (end - first) / latents.fps
        sound = film_sound(args.source, latents.start_time + first / latents.fps, args.audio)
        frames = prefetch(decode_latents(model, latents, first, end))
        picture = Picture(args.codec, args.height, args.scaler, args.screens)
        written_by = made_by("render_export", "torch", ffmpeg=version())
        provenance = text_of_decoded(written_by, latents.attributes, [latents.attributes], [args.model])
        tags = Tags(read_tags(args.source).title if args.source else "", provenance)
        export_frames(
            args.export, frames, count, model.recipe.size, latents.fps, picture, args.crf, sound, f"export {name}", tags
        )
    width, height = picture.screen_size(model.recipe.size)
    screens = f"{args.screens} screens of " if args.screens > 1 else ""
    print(f"{args.export}: {count} frames, {screens}{width}x{height}, {describe_sound(sound, seconds)}")


def _loop_end(model: Model, latents: LatentStore, first: int, end: int) -> int:
    """The frame after the last one of a loop: a last frame that equals the first would be seen twice."""
    if end - first < 2:
        return end
    beginning, last = decode_frames(model, latents, [first, end - 1]).astype(int)
    return end - 1 if abs(beginning - last).max() <= _SAME_LEVELS else end


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--latents", required=True, help="the latents file")
    parser.add_argument("--model", required=True, help="the model that decodes it")
    parser.add_argument("--source", default="", help="the film file, for its sound; without it the export is silent")
    add_option(parser, FilmKeys, "audio")
    parser.add_argument("--export", required=True, help="the file to write, or the folder of images or of several screens")
    for key in ("start", "end", "height", "scaler", "codec", "loop", "screens"):
        add_option(parser, ExportKeys, key)
    add_option(parser, VideoKeys, "crf")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
