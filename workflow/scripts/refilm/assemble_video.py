"""Rebuilt frames become a video: the film's frame rate and its soundtrack, in step.

python -m refilm.assemble_video --reconstruction results/reconstructions/bikes_by_bikes.h5 --source films/bikes.mp4
    --video results/bikes_by_bikes.mp4
"""

from fractions import Fraction
from pathlib import Path

from refilm.frames.store import FrameStore
from refilm.media.encode import encode_video, film_sound
from refilm.settings.errors import command_parser, run_command

_CHUNK = 64  # frames handed to ffmpeg at once


def main(args) -> None:
    with FrameStore(args.reconstruction) as film:
        sound = film_sound(args.source, Fraction(film.attributes["start_time"]))
        chunks = (film[start : start + _CHUNK] for start in range(0, len(film), _CHUNK))
        what = f"assemble {Path(args.video).stem}"
        encode_video(args.video, chunks, len(film), (film.width, film.height), film.fps, args.crf, sound, what)
    print(f"{args.video}: {len(film)} frames at {film.fps} frames/s, {'with sound' if sound else 'silent'}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--reconstruction", required=True, help="frames file of the rebuilt film")
    parser.add_argument("--source", required=True, help="the film file, for its sound")
    parser.add_argument("--video", required=True, help="the MP4 to write")
    parser.add_argument("--crf", type=int, default=14, help="H.264 quality, 0 (lossless) to 51")
    run_command(main, parser)
