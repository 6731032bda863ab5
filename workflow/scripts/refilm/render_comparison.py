"""A clip of the original and its reconstructions in one picture: labelled, synchronous, with sound.

python -m refilm.render_comparison --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5
    --models results/models/bikes/model.safetensors --title Bikes --by Bikes --source films/bikes.mp4
    --clip results/comparisons/bikes.mp4
"""

import argparse
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from refilm.config.keys import ComparisonKeys, FilmKeys, GlobalKeys, VideoKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import scratch_folder
from refilm.core.provenance import made_by
from refilm.core.times import TimeSpan
from refilm.frames.store import FrameStore
from refilm.media.encode import encode_video
from refilm.media.ffmpeg import version
from refilm.media.sound import film_sound
from refilm.media.tags import read_tags
from refilm.models.device import choose_device
from refilm.models.pictures import film_and_reconstructions
from refilm.models.provenance import text_of_decoded
from refilm.rendering.comparison import Arrangement, labels_of, side_by_side
from refilm.rendering.upscale import upscaled_size


def main(args: argparse.Namespace) -> None:
    if not len(args.latents) == len(args.models) == len(args.by):
        raise RefilmError("--latents, --models and --by: give as many of each, in the same order")
    name, device = Path(args.clip).stem, choose_device(args.device)
    with ExitStack() as stack:
        film = stack.enter_context(FrameStore(args.frames))
        span = TimeSpan.parse(args.start, args.end)
        first, count = span.frame_range(film.fps, len(film), f"comparison '{name}'")
        end = first + count
        pictures, encoded = film_and_reconstructions(stack, film, args.latents, args.models, device, first, end)
        sound = film_sound(args.source, film.metadata.start_time + first / film.fps, args.audio)
        tile = upscaled_size((film.width, film.height), args.height)
        arrangement = Arrangement(len(pictures), args.layout, *tile)
        written_by = made_by("render_comparison", "torch", "pillow", ffmpeg=version())
        drawn = stack.enter_context(scratch_folder()) / "labels.png"
        arrangement.draw_labels(labels_of(args.title, args.by)).save(drawn)
        encode_video(
            args.clip,
            map(np.concatenate, side_by_side(pictures)),
            end - first,
            (film.width, film.height * len(pictures)),
            film.fps,
            args.crf,
            sound,
            f"compare {name}",
            arrangement.filter(drawn),
            text_of_decoded(written_by, film.attributes, encoded, args.models),
            title=read_tags(args.source).title if args.source else "",
        )
    print(f"{args.clip}: {end - first} frames, {len(pictures)} pictures of {tile[0]}x{tile[1]}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the original")
    parser.add_argument("--latents", required=True, nargs="+", help="its latents, of each model")
    parser.add_argument("--models", required=True, nargs="+", help="the models that decode them, in the same order")
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--by", required=True, action="append", help="the title of a model; once for each")
    parser.add_argument("--source", default="", help="the film file, for its sound; without it the clip is silent")
    add_option(parser, FilmKeys, "audio")
    parser.add_argument("--clip", required=True, help="the MP4 to write")
    for key in ("start", "end", "layout", "height"):
        add_option(parser, ComparisonKeys, key)
    add_option(parser, VideoKeys, "crf")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
