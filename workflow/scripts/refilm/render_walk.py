"""Decode a walk through latents to a video: between moments of films, along a film at another pace, of two films mixed, or
each frame of a film beside the frame of another one whose latents are nearest.

python -m refilm.render_walk --latents results/latents/bikes_by_bikes.h5 --model results/models/bikes/model.safetensors
    --speed 0.25 --loop return --walk results/walks/slow.mp4

The kind follows from what is given: several times --moment, as many as latents files; --mix, with two of these; --frames,
with two of these too; else it goes along the one latents file.
"""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

from refilm.config.keys import FilmKeys, GlobalKeys, VideoKeys, WalkKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.curves import parse_curve
from refilm.core.errors import RefilmError
from refilm.core.files import scratch_folder
from refilm.core.prefetch import prefetch
from refilm.core.progress import progress_bar
from refilm.core.provenance import made_by
from refilm.core.sampling import evenly_spaced
from refilm.core.times import TimeSpan, parse_time
from refilm.frames.latents import LatentStore
from refilm.frames.store import FrameStore
from refilm.frames.walks import (
    Backwards,
    Closed,
    Directions,
    Film,
    Interpolation,
    Mixed,
    Paced,
    Smoothed,
    Spherical,
    ThereAndBack,
    Through,
    Walk,
    linear,
    way_over,
)
from refilm.media.encode import encode_video
from refilm.media.ffmpeg import version
from refilm.media.sound import Sound, film_sound, repeat_sound
from refilm.models.base import Model
from refilm.models.device import choose_device
from refilm.models.inference import decode_latents
from refilm.models.model_file import load_model
from refilm.models.nearest import nearest_frames
from refilm.models.provenance import text_of_walk
from refilm.rendering.comparison import Arrangement, Label
from refilm.rendering.upscale import upscale, upscaled_size
from refilm.sources.listing import parse_rate

_CHUNK = 16  # frames of films read at once
_STATIONS = 4096  # frames of all films together over which a way may lead
_LEAST_STEP = 1e-6  # between equal frames


def main(args: argparse.Namespace) -> None:
    name = Path(args.walk).stem
    model = load_model(args.model, choose_device(args.device))
    with ExitStack() as stack:
        files = {file: stack.enter_context(LatentStore(file)) for file in dict.fromkeys(args.latents)}
        for store in files.values():
            store.check_model(model.recipe.latent_dim, args.model)
        stores = [files[file] for file in args.latents]
        fps = _frame_rate(stores[0], args.fps)
        if args.frames:
            _render_nearest(args, stack, model, stores, fps)
            return
        walk = _between_moments(args, stores, fps) if args.moment else _along_films(args, stores, fps, f"walk '{name}'")
        size = upscaled_size(model.recipe.size, args.height)
        sound, heard = _sound(args, stack, len(walk) / fps)
        encode_video(
            args.walk,
            prefetch(decode_latents(model, walk)),
            len(walk),
            model.recipe.size,
            fps,
            args.crf,
            sound,
            f"walk {name}",
            lambda stream: upscale(stream, size),
            text_of_walk(made_by("render_walk", "torch", ffmpeg=version()), files.values(), args.model),
        )
    print(f"{args.walk}: {len(walk)} frames at {fps} frames/s, {heard}")


# --- walks that are decoded


def _between_moments(args: argparse.Namespace, stores: list[LatentStore], fps: Fraction) -> Walk:
    """Through the latents of moments, `seconds` from one to the next."""
    if len(stores) != len(args.moment) or len(stores) < 2:
        raise RefilmError("--latents and --moment: give as many of each, two or more, in the same order")
    moments = zip(stores, args.moment, strict=True)
    points = np.concatenate([_moment(store, text) for store, text in moments])
    if args.loop == "close":
        points = np.concatenate([points, points[:1]])
    stretch, between = max(1, round(Fraction(str(args.seconds)) * fps)), _interpolation(args, stores)
    count = stretch * (len(points) - 1) + (args.loop != "close")
    places: list[float] = [stretch * n for n in range(len(points))]
    if args.path == "neighbours":
        places, points = _over_frames(points, stretch, stores)
    walk = Through(places, points, count, between)
    return ThereAndBack(walk) if args.loop == "return" else walk


def _moment(store: LatentStore, text: str) -> np.ndarray:
    """The latents of the frame that is seen at a time: (1, dim)."""
    seconds, fps = parse_time(text, f"{store.path}: moment"), _frame_rate(store, None)
    frame = int(seconds * fps)
    if frame >= len(store):
        length = float(len(store) / fps)
        raise RefilmError(f"{store.path}: moment {text} lies after the end of the film, which lasts {length:.1f} s")
    return store[frame : frame + 1]


def _over_frames(moments: np.ndarray, stretch: int, stores: list[LatentStore]) -> tuple[list[float], np.ndarray]:
    """(places, points) of a walk from moment to moment over frames of their films that lie near each other, at even speed in
    each stretch. Of long films frames are evenly spaced."""
    films = list(dict.fromkeys(stores))
    frames = [Film(film).at(np.array(evenly_spaced(len(film), _STATIONS // len(films)))) for film in films]
    points, space, count = np.concatenate([moments, *frames]), Spherical.of(films), len(moments)
    directions = space.directions(points)
    places, way = [0.0], [0]
    for first in range(count - 1):
        usable = [first, first + 1, *range(count, len(points))]  # and no other moments, which have their own times
        stations = [usable[number] for number in way_over(directions[usable], 0, 1)]
        steps = np.linalg.norm(np.diff(directions[stations], axis=0), axis=1) + _LEAST_STEP
        places += (stretch * (first + np.cumsum(steps) / steps.sum())).tolist()
        way += stations[1:]
        places[-1] = float(stretch * (first + 1))
    return places, points[way]


def _along_films(args: argparse.Namespace, stores: list[LatentStore], fps: Fraction, of: str) -> Walk:
    """Along a latents file, or along two of them mixed."""
    if len(stores) != (1 if args.mix is None else 2):
        raise RefilmError("--latents: give one file, with --mix two, and with --moment one for each")
    between, speed = _interpolation(args, stores), Fraction(str(args.speed))
    first, count = TimeSpan.parse(args.start, args.end).frame_range(_rate(stores[0], fps), len(stores[0]), of)
    walks: list[Walk] = []
    for store, film in zip(stores, (Film(stores[0], first, count), *map(Film, stores[1:])), strict=True):
        rate = _rate(store, fps)
        smoothed = Smoothed(film, args.smooth * float(rate)) if args.smooth else film
        walks.append(Paced(smoothed, speed * rate / fps, between))
    walk = walks[0]
    if args.mix is not None:
        curve = parse_curve(args.mix, "--mix")
        walk = Mixed(
            *walks, lambda frames: np.array([curve.at(float(int(frame) / fps), "mix") for frame in frames]), between
        )
    walk = Backwards(walk) if args.reverse else walk
    if args.loop == "return":
        return ThereAndBack(walk)
    return _closed(walk, args.blend, speed, fps, between, of) if args.loop == "close" else walk


def _closed(walk: Walk, blend: float, speed: Fraction, fps: Fraction, between: Interpolation, of: str) -> Walk:
    frames = max(1, round(Fraction(str(blend)) / speed * fps))
    if 2 * frames > len(walk):
        raise RefilmError(
            f"{of}: blend: {blend:g} s are {frames} frames, more than half of the {len(walk)} that it has: lower blend"
        )
    return Closed(walk, frames, between)


def _interpolation(args: argparse.Namespace, stores: list[LatentStore]) -> Interpolation:
    return linear if args.path == "linear" else Spherical.of(list(dict.fromkeys(stores)))


# --- nearest frames


def _render_nearest(
    args: argparse.Namespace, stack: ExitStack, model: Model, stores: list[LatentStore], fps: Fraction
) -> None:
    """Each frame of a film beside the frame of another one whose latents are nearest."""
    if not len(args.frames) == len(stores) == len(args.title) == 2:
        raise RefilmError("--frames, --latents and --title: give two of each, of the film and of the other one")
    name = Path(args.walk).stem
    films = [stack.enter_context(FrameStore(file)) for file in args.frames]
    for store, film in zip(stores, films, strict=True):
        store.check_film(film, model.recipe.size)
    first, count = TimeSpan.parse(args.start, args.end).frame_range(fps, len(films[0]), f"walk '{name}'")
    with progress_bar("search", count, " frames") as bar:
        found, _ = _nearest(model, Film(stores[0], first, count), stores[1], Spherical.of(stores[1:]), bar.update)
    parts = ((films[0][first + n : first + n + len(part)], films[1].read(part)) for n, part in _parts(found))
    tile = upscaled_size(model.recipe.size, args.height)
    arrangement = Arrangement(2, "row", *tile)
    drawn = stack.enter_context(scratch_folder()) / "labels.png"
    arrangement.draw_labels([Label(args.title[0], "original"), Label(args.title[1], "nearest frame")]).save(drawn)
    width, height = model.recipe.size
    sound, heard = _sound(args, stack, count / fps)
    encode_video(
        args.walk,
        prefetch(np.concatenate(part, axis=1) for part in parts),
        count,
        (width, 2 * height),
        fps,
        args.crf,
        sound,
        f"walk {name}",
        arrangement.filter(drawn),
        text_of_walk(made_by("render_walk", "torch", "pillow", ffmpeg=version()), stores, args.model),
    )
    print(f"{args.walk}: {count} frames beside {len(set(found))} nearest ones, {heard}")


def _nearest(
    model: Model, walk: Walk, film: LatentStore, space: Spherical, done: Callable[[int], object]
) -> tuple[np.ndarray, np.ndarray]:
    """(frames, distances) of the frames of a film that lie in the nearest direction, as seen from the mean. By distance the
    dullest frame, which is near the mean, is the nearest one to all frames of a film that the network does not know: those
    lie further out."""
    device = next(model.parameters()).device
    return nearest_frames(Directions(walk, space), Directions(film, space), device, done)


def _parts(found: np.ndarray) -> list[tuple[int, np.ndarray]]:
    return [(n, found[n : n + _CHUNK]) for n in range(0, len(found), _CHUNK)]


# --- time and sound


def _frame_rate(latents: LatentStore, fps: str | None) -> Fraction:
    """Frames per second as given, or else of the film that was encoded."""
    if fps is not None:
        return parse_rate(fps, "--fps")
    if latents.fps is None:
        raise RefilmError(f"{latents.path}: no attribute fps: give the frame rate, such as fps: 24")
    return latents.fps


def _rate(latents: LatentStore, fps: Fraction) -> Fraction:
    """Frames per second of the film that was encoded, or else those of the walk."""
    return latents.fps or fps


def _sound(args: argparse.Namespace, stack: ExitStack, seconds: Fraction) -> tuple[Sound | None, str]:
    """The sound that is laid under it, and what to say of it."""
    if not args.source or not args.sound_frames:
        return None, "silent"
    with FrameStore(args.sound_frames) as film:
        first, count = TimeSpan.parse(args.sound_start, None).frame_range(film.fps, len(film), f"{film.path}: sound")
        start, period = film.metadata.start_time + first / film.fps, count / film.fps
    sound = film_sound(args.source, start, args.audio)
    if sound is None:
        return None, "silent"
    times = f", {float(seconds / period):.1f} times" if seconds > period else ""
    return repeat_sound(sound, period, seconds, stack.enter_context(scratch_folder())), f"{sound}{times}"


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--latents", required=True, nargs="+", help="the latents file, or that of each moment or film")
    parser.add_argument("--model", required=True, help="the model that decodes them")
    parser.add_argument("--moment", action="append", default=[], help="a moment; once for each latents file")
    parser.add_argument("--mix", help="share of the second latents file, from 0 to 1, or a curve of it")
    parser.add_argument("--frames", nargs="*", default=[], help="frames of both films, for nearest frames")
    parser.add_argument("--title", action="append", default=[], help="with --frames, the title of a film; once for each")
    for key in ("path", "seconds", "start", "end", "smooth", "speed", "reverse", "loop", "blend", "fps", "height"):
        add_option(parser, WalkKeys, key)
    parser.add_argument("--source", default="", help="the film file whose sound is laid under it; silent without")
    parser.add_argument("--sound-frames", default="", help="frames of that film, which say when it begins and ends")
    parser.add_argument("--sound-start", default=None, help="first moment of that sound: seconds, or HH:MM:SS")
    add_option(parser, FilmKeys, "audio")
    parser.add_argument("--walk", required=True, help="the MP4 to write")
    add_option(parser, VideoKeys, "crf")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
