"""Claim: ffmpeg's own process gives every frame that can be decoded, with its time, as fast as the libraries that could
replace it.

    python -m benchmarks.decoders FILM FOLDER...

For each film of the folders: how many frames ffmpeg's `showinfo`, PyAV and torchcodec give, and when each is shown. Then the
time that each takes to decode FILM and scale its frames to 256x144 RGB, least of three. The libraries are no dependencies
of refilm: `pip install av torchcodec`, the latter with the shared libraries of an ffmpeg that it supports. One that is not
installed is left out.
"""

import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import seconds
from refilm.core.errors import RefilmError
from refilm.media.ffmpeg import executable
from refilm.media.film_file import FilmFile

SIZE = (256, 144)
_ROUNDS = 3
_BATCH = 32  # frames that torchcodec decodes at once
_SAME_SECONDS = 0.0005  # half a tick of a Matroska clock
_MAX_ERROR = 70  # characters of an error that are shown

Times = list[float | None]


def main(film: str, *folders: str) -> None:
    readers = _available()
    print(f"| film | {' | '.join(readers)} |\n|---|{'---|' * len(readers)}")
    equal = []
    for path in sorted(path for folder in folders for path in Path(folder).iterdir()):
        index = _video_index(path)
        if index is None:
            continue
        found = {name: _tried(reader, path, index) for name, reader in readers.items()}
        if all(_same(times, found["ffmpeg"]) for times in found.values()):
            equal.append(path.name)
        else:
            print(f"| `{path.name}` | {' | '.join(map(_described, found.values()))} |")
    print(f"\nthe same frames at the same times in {len(equal)} others: {', '.join(equal)}")
    index = _video_index(Path(film)) or 0
    for name, decode in _DECODERS.items():
        if name in readers:
            times = [seconds(lambda decode=decode: decode(film, index)) for _ in range(_ROUNDS)]  # type: ignore[misc]
            print(f"decoders: {name}: {min(times):.2f} s (least of {_ROUNDS}) for {Path(film).name} to {SIZE[0]}x{SIZE[1]}")


def _video_index(path: Path) -> int | None:
    """The index of the video stream that refilm uses; None for a file that is no film."""
    try:
        return FilmFile(path).video_stream.index
    except RefilmError:
        return None


def _available() -> dict[str, Callable[[str, int], Times]]:
    readers = dict(_READERS)
    for name, module in (("PyAV", "av"), ("torchcodec", "torchcodec.decoders")):
        try:
            __import__(module)
        except (ImportError, OSError, RuntimeError) as error:
            print(f"decoders: {name} is left out: {str(error).splitlines()[0]}")
            del readers[name]
    return readers


def _tried(reader: Callable[[str, int], Times], path: Path, index: int) -> Times | str:
    """The times of the frames, or why there are none."""
    try:
        return reader(str(path), index)
    except Exception as error:  # whatever a library raises is its result
        return f"{type(error).__name__}: {' '.join(str(error).split())[:_MAX_ERROR]}"


def _same(one: Times | str, other: Times | str) -> bool:
    if isinstance(one, str) or isinstance(other, str) or len(one) != len(other):
        return False
    return all(
        a == b or (a is not None and b is not None and abs(a - b) < _SAME_SECONDS) for a, b in zip(one, other, strict=True)
    )


def _described(times: Times | str) -> str:
    """'240 frames, -5.000 to 4.958 s, 3 go back', or the error."""
    if isinstance(times, str):
        return times.replace("|", "/")
    known = [time for time in times if time is not None]
    back, untimed = sum(b < a for a, b in itertools.pairwise(known)), len(times) - len(known)
    words = [f"{len(times)} frames", f"{known[0]:.3f} to {known[-1]:.3f} s" if known else ""]
    words += [f"{untimed} without a time" if untimed else "", f"{back} go back" if back else ""]
    return ", ".join(word for word in words if word)


# --- times of frames


def _by_ffmpeg(path: str, index: int) -> Times:
    command = [executable(), "-hide_banner", "-nostdin", "-nostats", "-copyts", "-i", f"file:{path}", "-map", f"0:{index}"]
    command += ["-vf", "showinfo=checksum=0", "-fps_mode", "passthrough", "-f", "null", "-"]
    log = subprocess.run(command, capture_output=True, text=True, errors="replace").stderr
    clock, times = 0.0, []
    for line in log.splitlines():
        if found := re.search(r"showinfo.*config in time_base: (\d+)/(\d+)", line):
            clock = int(found[1]) / int(found[2])
        elif found := re.search(r"showinfo.* n: *\d+ pts: *(-?\d+|NOPTS) ", line):
            times.append(None if found[1] == "NOPTS" else int(found[1]) * clock)
    return times


def _by_pyav(path: str, index: int) -> Times:
    import av

    with av.open(path) as container:
        frames = container.decode(container.streams[index])
        return [None if frame.pts is None else float(frame.pts * frame.time_base) for frame in frames]


def _by_torchcodec(path: str, index: int) -> Times:
    return [time for batch in _torchcodec_batches(path, index) for time in batch.pts_seconds.tolist()]


def _torchcodec_batches(path: str, index: int) -> Iterator[Any]:
    """The frames, 256x144, in batches of at most _BATCH."""
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    resize = [Resize((SIZE[1], SIZE[0]))]
    decoder = VideoDecoder(path, stream_index=index, dimension_order="NHWC", num_ffmpeg_threads=0, transforms=resize)
    for start in range(0, len(decoder), _BATCH):
        yield decoder.get_frames_in_range(start, min(start + _BATCH, len(decoder)))


_READERS: dict[str, Callable[[str, int], Times]] = {"ffmpeg": _by_ffmpeg, "PyAV": _by_pyav, "torchcodec": _by_torchcodec}


# --- decoding and scaling


def _decode_by_ffmpeg(path: str, index: int) -> None:
    command = [executable(), "-v", "error", "-nostdin", "-i", f"file:{path}", "-map", f"0:{index}", "-f", "rawvideo"]
    command += ["-vf", f"scale={SIZE[0]}:{SIZE[1]}:flags=area", "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def _decode_by_pyav(path: str, index: int) -> None:
    import av

    with av.open(path) as container:
        stream = container.streams[index]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            frame.reformat(*SIZE, format="rgb24", interpolation="AREA").to_ndarray()


def _decode_by_torchcodec(path: str, index: int) -> None:
    for _ in _torchcodec_batches(path, index):
        pass


_DECODERS = {"ffmpeg": _decode_by_ffmpeg, "PyAV": _decode_by_pyav, "torchcodec": _decode_by_torchcodec}


if __name__ == "__main__":
    main(*sys.argv[1:])
