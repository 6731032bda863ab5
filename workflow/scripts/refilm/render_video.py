"""Decode latents to a video with the film's frame rate and soundtrack.

python -m refilm.render_video --latents results/latents/bikes_by_bikes.h5 --model results/models/bikes/model.safetensors
    --source films/bikes.mp4 --video results/bikes_by_bikes.mp4

Any latents file that fits the model can be decoded: an HDF5 file with a dataset `latents`, float (frames, latent_dim). One
without an attribute fps needs --fps.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import pandas as pd

from refilm.config.keys import FilmKeys, GlobalKeys, VideoKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.prefetch import prefetch
from refilm.core.provenance import made_by
from refilm.frames.latents import LatentStore
from refilm.media.encode import encode_video
from refilm.media.ffmpeg import version
from refilm.media.sound import describe_sound, film_sound
from refilm.media.tags import Chapter, Tags, read_tags
from refilm.models.device import choose_device
from refilm.models.inference import decode_latents
from refilm.models.model_file import load_model
from refilm.models.provenance import text_of_decoded
from refilm.sources.listing import parse_rate


def main(args: argparse.Namespace) -> None:
    with LatentStore(args.latents) as latents:
        fps = _frame_rate(latents, args.fps)
        model = load_model(args.model, choose_device(args.device))
        latents.check_model(model.recipe.latent_dim, args.model)
        sound = film_sound(args.source, latents.start_time, args.audio)
        frames = prefetch(decode_latents(model, latents))
        what = f"render {Path(args.video).stem}"
        written_by = made_by("render_video", "torch", ffmpeg=version())
        provenance = text_of_decoded(written_by, latents.attributes, [latents.attributes], [args.model])
        size = model.recipe.size
        seconds = len(latents) / fps
        tags = read_tags(args.source).part(latents.start_time, seconds) if args.source else Tags()
        chapters = {"film": tags.chapters, "shots": _shots(args.shots)}.get(args.chapters, ())
        encode_video(args.video, frames, len(latents), size, fps, args.crf, sound, what,
                     provenance=provenance, chapters=chapters, title=tags.title)  # fmt: skip
        described = describe_sound(sound, seconds)
        print(f"{args.video}: {len(latents)} frames at {fps} frames/s, {described}")


def _shots(table: str) -> tuple[Chapter, ...]:
    """A chapter for each shot in a table of `list_shots`; none without one."""
    if not table:
        return ()
    rows = pd.read_csv(table).itertuples()
    return tuple(Chapter(Fraction(str(row.start)), Fraction(str(row.end)), f"Shot {row.shot}") for row in rows)


def _frame_rate(latents: LatentStore, fps: str | None) -> Fraction:
    """Frames per second as given, or else of the film that was encoded."""
    if fps is not None:
        return parse_rate(fps, "--fps")
    if latents.fps is None:
        raise RefilmError(f"{latents.path}: no attribute fps: give the frame rate with --fps, such as --fps 24")
    return latents.fps


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--latents", required=True, help="the latents file")
    parser.add_argument("--model", required=True, help="the model that decodes it")
    parser.add_argument(
        "--source",
        default="",
        help="the film file, for its sound and chapters; without it the video is silent and has no chapters",
    )
    add_option(parser, FilmKeys, "audio")
    parser.add_argument("--video", required=True, help="the MP4 to write")
    parser.add_argument("--fps", help="frames per second, such as 24 or 24000/1001; default: those of the film")
    add_option(parser, VideoKeys, "crf")
    add_option(parser, VideoKeys, "chapters")
    parser.add_argument("--shots", default="", help="the table of the film's shots, for --chapters=shots")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
