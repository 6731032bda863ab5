"""Original and reconstructions of a film as the tiles of one video, for the gallery: see `refilm.rendering.composite`.

python -m refilm.render_composite --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5
    --models results/models/bikes/model.safetensors --source films/bikes.mp4
    --video results/gallery/films/256x144/bikes.mp4
"""

import argparse
from contextlib import ExitStack
from pathlib import Path

from refilm.config.keys import FilmKeys, GlobalKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.provenance import made_by
from refilm.frames.store import FrameStore
from refilm.media.ffmpeg import version
from refilm.media.sound import film_sound
from refilm.media.tags import read_tags
from refilm.models.device import choose_device
from refilm.models.pictures import film_and_reconstructions
from refilm.models.provenance import text_of_decoded
from refilm.rendering.composite import Composite

_CRF = 20  # between the quality of videos and the size that is copied and scrubbed


def main(args: argparse.Namespace) -> None:
    with ExitStack() as stack:
        film = stack.enter_context(FrameStore(args.frames))
        device = choose_device(args.device)
        pictures, encoded = film_and_reconstructions(stack, film, args.latents, args.models, device)
        composite = Composite(len(pictures), film.width, film.height)
        written_by = made_by("render_composite", "torch", ffmpeg=version())
        composite.write(
            args.video,
            pictures,
            len(film),
            film.fps,
            _CRF,
            film_sound(args.source, film.metadata.start_time, args.audio),
            f"composite of {Path(args.video).stem}",
            text_of_decoded(written_by, film.attributes, encoded, args.models),
            read_tags(args.source).title if args.source else "",
        )
    width, height = composite.video_size
    print(f"{args.video}: {len(film)} frames, {len(pictures)} tiles in {width}x{height}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the original")
    parser.add_argument("--latents", required=True, nargs="+", help="its latents, of each model")
    parser.add_argument("--models", required=True, nargs="+", help="the models that decode them, in the same order")
    parser.add_argument("--source", default="", help="the film file, for its sound; without it the video is silent")
    add_option(parser, FilmKeys, "audio")
    parser.add_argument("--video", required=True, help="the MP4 to write")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
