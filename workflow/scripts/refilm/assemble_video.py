"""Rebuilt frames become a video: the film's frame rate and its soundtrack, in step.

python -m refilm.assemble_video --reconstruction results/reconstructions/bikes_by_bikes.h5 --source films/bikes.mp4
    --video results/bikes_by_bikes.mp4
"""

from pathlib import Path

from refilm.core.command_line import command_parser, run_command
from refilm.frames.store import FrameStore
from refilm.media.encode import encode_video
from refilm.media.sound import film_sound

_CHUNK = 64  # frames handed to ffmpeg at once


def main(args) -> None:
    with FrameStore(args.reconstruction) as film:
        sound = film_sound(args.source, film.metadata.start_time, args.audio)
        what = f"assemble {Path(args.video).stem}"
        encode_video(args.video, film.batches(_CHUNK), len(film), (film.width, film.height), film.fps, args.crf, sound, what)
    print(f"{args.video}: {len(film)} frames at {film.fps} frames/s, {f'soundtrack {sound.track}' if sound else 'silent'}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--reconstruction", required=True, help="frames file of the rebuilt film")
    parser.add_argument("--source", default="", help="the film file, for its sound; without one the result is silent")
    parser.add_argument("--audio", default="auto", help="its soundtrack: auto, a language, a number from 1, or none")
    parser.add_argument("--video", required=True, help="the MP4 to write")
    parser.add_argument("--crf", type=int, default=14, help="H.264 quality, 0 (lossless) to 51")
    run_command(main, parser)
