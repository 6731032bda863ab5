"""A film up to a moment, and then what a network sees next.

python -m refilm.render_dream --latents results/latents/bikes_by_bikes.h5 --model results/models/bikes/model.safetensors
    --predictor results/predictors/bikes/predictor.safetensors --source films/bikes.mp4 --start 00:00:05 --length 60
    --title Bikes --by Bikes --dream results/dreams/night.mp4

The sound of the film ends where the film does.
"""

import argparse
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from refilm.config.keys import DreamKeys, FilmKeys, GlobalKeys, VideoKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import scratch_folder
from refilm.core.prefetch import prefetch
from refilm.core.provenance import made_by
from refilm.core.times import TimeSpan, first_frame, format_time
from refilm.frames.latents import LatentStore
from refilm.media.encode import encode_video
from refilm.media.ffmpeg import version
from refilm.media.sound import film_sound
from refilm.media.tags import read_tags
from refilm.models.device import choose_device
from refilm.models.inference import decode_latents
from refilm.models.model_file import load_model
from refilm.models.predictor import DreamtLatents, load_predictor
from refilm.models.provenance import text_of_dream
from refilm.rendering.comparison import Arrangement, Label
from refilm.rendering.upscale import upscaled_size


def main(args: argparse.Namespace) -> None:
    name, device = Path(args.dream).stem, choose_device(args.device)
    with ExitStack() as stack:
        latents = stack.enter_context(LatentStore(args.latents))
        if latents.fps is None:
            raise RefilmError(f"{latents.path}: no attribute fps: make it with encode_film")
        model = load_model(args.model, device)
        predictor = load_predictor(args.predictor, device)
        latents.check_model(model.recipe.latent_dim, args.model)
        latents.check_model(predictor.dim, args.predictor)
        start = _first_dreamt(latents, args.start, name)
        lead, count = (first_frame(Fraction(str(seconds)), latents.fps) for seconds in (args.lead, args.length))
        lead = min(lead, start)
        rows = DreamtLatents(latents, start, lead, count, predictor, args.seed, args.temperature)
        sound = film_sound(args.source, latents.start_time + (start - lead) / latents.fps, args.audio) if lead else None
        sound = sound and replace(sound, seconds=lead / latents.fps)
        arrangement = Arrangement(1, "row", *upscaled_size(model.recipe.size, args.height))
        folder = stack.enter_context(scratch_folder())
        ended = format_time(start / latents.fps)
        arrangement.draw_labels([Label(args.title, f"as remembered by {args.by}")]).save(folder / "film.png")
        arrangement.draw_labels([Label("Dream", f"by {args.by}; {args.title} ended at {ended}")]).save(folder / "dream.png")
        written_by = made_by("render_dream", "torch", "pillow", ffmpeg=version())
        settings = {"start": str(start / latents.fps), "seed": args.seed, "temperature": args.temperature}
        encode_video(
            args.dream,
            prefetch(decode_latents(model, rows)),
            len(rows),
            model.recipe.size,
            latents.fps,
            args.crf,
            sound,
            f"dream {name}",
            arrangement.filter(folder / "film.png", (folder / "dream.png", lead)),
            text_of_dream(written_by, latents.attributes, args.model, args.predictor, settings),
            title=read_tags(args.source).title if args.source else "",
        )
    heard = f"{sound} until then" if sound else "silent"
    print(f"{args.dream}: {lead} frames of the film, {count} dreamt from {ended} on, {heard}")


def _first_dreamt(latents: LatentStore, start: str | None, name: str) -> int:
    """The number of the first frame that is dreamt: by default the one after the last of the film."""
    if not start or latents.fps is None:
        return len(latents)
    first, _count = TimeSpan.parse(start, None).frame_range(latents.fps, len(latents), f"dream '{name}'")
    if first == 0:
        raise RefilmError(f"dream '{name}': start {start}: a dream continues a film: let it start after the first frame")
    return first


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--latents", required=True, help="latents of the film that is continued")
    parser.add_argument("--model", required=True, help="the model that decodes them")
    parser.add_argument("--predictor", required=True, help="the predictor of that model")
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--by", required=True, help="the model's title")
    parser.add_argument("--source", default="", help="the film file, for its sound; without it the dream is silent")
    add_option(parser, FilmKeys, "audio")
    parser.add_argument("--dream", required=True, help="the MP4 to write")
    for key in ("start", "length", "lead", "temperature", "seed", "height"):
        add_option(parser, DreamKeys, key)
    add_option(parser, VideoKeys, "crf")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
