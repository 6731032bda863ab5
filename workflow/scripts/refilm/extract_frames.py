"""Extract the frames of a film: probe it, remove black bars, crop and scale, count every frame, write HDF5.

python -m refilm.extract_frames --source films/bikes.mp4 --frames results/frames/256x144/bikes.h5 --size 256x144
"""

import argparse
import dataclasses
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from refilm import layout
from refilm.config.keys import FilmKeys, GlobalKeys, add_option
from refilm.config.recipe import parse_size
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import check_space
from refilm.core.provenance import Record, film_record, made_by, provenance_text
from refilm.core.times import TimeSpan
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames
from refilm.media.decode import DecodedPart, DecodePlan, decode_frames, plan_decode
from refilm.media.ffmpeg import version
from refilm.media.film_file import FilmFile
from refilm.media.probe import probe_video
from refilm.media.sound import check_decodable, choose_sound
from refilm.sources.film_identity import address_of, check_sha256, remembered_sha256

_PIXEL_OPTIONS = ("start", "end", "crop", "fit", "deinterlace", "damaged")


def main(args: argparse.Namespace) -> None:
    name, film = Path(args.frames).stem, FilmFile(args.source)
    index = layout.film_index(layout.FRAMES, args.frames)
    if args.sha256:
        check_sha256(args.source, args.sha256, index)
    sound = choose_sound(film, args.audio)
    if sound:
        check_decodable(sound)  # what is wrong with the sound is reported now, not after the training
    plan = plan_film(film, args, name)
    check_space(args.frames, (plan.estimated_frames or 0) * plan.width * plan.height * 3)
    record = describe_film(name, plan, args, index, made_by("extract_frames", "h5py", ffmpeg=version()))
    rates: list[Fraction] = []

    def produce(into: BinaryIO) -> tuple[FrameMetadata, np.ndarray]:
        part = decode_frames(plan, into, f"extract {name}", args.threads, args.hwaccel)
        rates.append(part.fps)
        return _metadata(plan, part, args, record | {"fps": str(part.fps)}), part.times

    count = write_frames(args.frames, plan.width, plan.height, produce)
    picture = f"picture {plan.crop} of {plan.video.width}x{plan.video.height}"
    print(f"{args.frames}: {count} frames at {rates[0]} frames/s, {picture}, {sound or 'silent'}")


def plan_film(film: FilmFile, args: argparse.Namespace, name: str) -> DecodePlan:
    """Measure the film called `name`, and decide by the film options which frames and which part of the picture to take."""
    size, span = parse_size(args.size, "--size"), TimeSpan.parse(args.start, args.end)
    video = probe_video(film, args.deinterlace, args.damaged == "use")
    try:
        return plan_decode(video, size, span, args.crop, args.fit, args.deinterlace)
    except RefilmError as error:
        raise RefilmError(f"film '{name}' ({film.path}): {error}") from error


def describe_film(name: str, plan: DecodePlan, args: argparse.Namespace, index: Path | None, written_by: Record) -> Record:
    """The provenance of frames, without their rate. Reads the film once, unless the index has its SHA-256."""
    sha256 = remembered_sha256(args.source, index)
    address = address_of(args.source, sha256)
    return film_record(
        name,
        args.source,
        written_by,
        **({"address": address} if address else {}),
        sha256=sha256,
        bytes=Path(args.source).stat().st_size,
        size=args.size,
        crop=str(plan.crop),
        filter=plan.filters,
        settings={key: getattr(args, key) for key in _PIXEL_OPTIONS},
    )


def _metadata(plan: DecodePlan, part: DecodedPart, args: argparse.Namespace, record: Record) -> FrameMetadata:
    details = {
        **dataclasses.asdict(plan.video.colour),
        "field_order": plan.video.field_order,
        "constant_rate": part.constant,
        "settings": json.dumps(record["settings"]),
        "ffmpeg": version(),
    }
    provenance = provenance_text(record["made_by"], record)
    return FrameMetadata(
        part.fps, part.start_time, args.source, str(plan.crop), plan.filters, details, args.made_of, provenance
    )


def add_film_options(parser: argparse.ArgumentParser) -> None:
    """The options that name the film and decide its pixels."""
    parser.add_argument("--source", required=True, help="the film file")
    parser.add_argument("--size", required=True, help="WIDTHxHEIGHT of the frames in pixels")
    for key in _PIXEL_OPTIONS:
        add_option(parser, FilmKeys, key)


def film_parser() -> argparse.ArgumentParser:
    """The command line of this command."""
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="the frames file to write")
    parser.add_argument("--made-of", default="", help="text of the plan, which is kept in the file")
    add_option(parser, GlobalKeys, "hwaccel")
    add_option(parser, FilmKeys, "audio")
    add_option(parser, FilmKeys, "sha256")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="processor cores to use")
    add_film_options(parser)
    return parser


if __name__ == "__main__":
    run_command(main, film_parser())
