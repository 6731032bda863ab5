"""Mutated film files: each gives frames or one line of error, in time, and leaves nothing behind.

    python -m tests.fuzz [COUNT] [SEED]

Films of several containers get bits flipped, are truncated, lose, gain and swap pieces and boxes. Each is extracted, every
other one with `damaged: use`. Without that the frames must be those of the film, by the numbers that they show, in order.
File n of a seed is always the same. Prints how often each outcome occurred; files with a wrong outcome are kept.
"""

import contextlib
import io
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from refilm import extract_frames
from refilm.core.errors import RefilmError
from refilm.frames.store import FrameStore
from refilm.media import ffmpeg
from tests.numbered_films import number_of, write_beeps, write_film

Outcome = tuple[str, str, str]  # kind of film, how it came out, what is wrong with that or ''

_LIMIT_SECONDS = 60  # for a film of two seconds
_COUNT, _FPS, _SIZE = 48, 24, (96, 64)
_INCOMPLETE_FRAMES = 2  # so many may be missing at the ends of a recording
_GROUP = 12  # frames from one key frame to the next: of a recording so many at each end may be damaged by an incomplete one
_ERROR = re.compile(r"\[(error|fatal|panic)\] ")
_REPORTED = re.compile(
    r"^\[(h264|hevc|vp9|mpeg[12]video|mpeg4|mjpeg|ffv1|prores) @ \w+\] "
    # A decoder says the latter of any film that begins between key frames, of frames that webcams write, or of a header.
    r"(?!.*(reference|mmco|co located POCs|MVs not available|initial skip|overread|short term buffer|frame RPS|find ref"
    r"|NALU|header damaged|aspect ratio))",
    re.MULTILINE,
)
_FILMS = {  # file name: codec options
    "index-first.mp4": ("-c:v", "libx264", "-g", "12", "-bf", "2", "-movflags", "+faststart"),
    "index-last.mp4": ("-c:v", "libx264", "-g", "12", "-bf", "2"),
    "fragments.mp4": ("-c:v", "libx264", "-g", "12", "-movflags", "+frag_keyframe+empty_moov"),
    "h264.mkv": ("-c:v", "libx264", "-g", "12", "-bf", "2"),
    "ffv1.mkv": ("-c:v", "ffv1"),
    "hevc.mkv": ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=12:pools=none:frame-threads=1"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "12"),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-g", "12", "-bf", "2"),
    "h264.ts": ("-c:v", "libx264", "-g", "12"),
    "mpeg2.mpg": ("-c:v", "mpeg2video", "-g", "12", "-bf", "2"),
    "mpeg1.mpg": ("-c:v", "mpeg1video", "-g", "12"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-g", "12"),
    "mjpeg.avi": ("-c:v", "mjpeg"),
    "prores.mov": ("-c:v", "prores_ks", "-profile:v", "0"),
    "h264.flv": ("-c:v", "libx264", "-g", "12"),
}


def make_films(folder: Path) -> list[Path]:
    """The whole films, of two seconds each."""
    sound = write_beeps(folder / "beeps.wav", _COUNT / _FPS)
    options = ("-pix_fmt", "yuv420p")
    return [
        write_film(folder / name, range(_COUNT), _FPS, *options, *codec, size=_SIZE, sounds=[sound])
        for name, codec in _FILMS.items()
    ]


def mutated(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """(kind of mutation, the mutated file)."""
    kind = rng.choice(list(_MUTATIONS))
    return kind, bytes(_MUTATIONS[kind](bytearray(content), rng))


def _flip(content: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice([1, 5, 50, 500])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content


def _flip_head(content: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice([1, 3, 10])):
        content[rng.randrange(min(2000, len(content)))] = rng.randrange(256)
    return content


def _truncate(content: bytearray, rng: random.Random) -> bytearray:
    return content[: rng.randrange(1, len(content))]


def _remove(content: bytearray, rng: random.Random) -> bytearray:
    start, end = _piece(content, rng)
    return content[:start] + content[end:]


def _repeat(content: bytearray, rng: random.Random) -> bytearray:
    start, end = _piece(content, rng)
    return content[:end] + content[start:end] * rng.choice([1, 2, 8]) + content[end:]


def _clear(content: bytearray, rng: random.Random) -> bytearray:
    start, end = _piece(content, rng)
    return content[:start] + bytes(end - start) + content[end:]


def _swap(content: bytearray, rng: random.Random) -> bytearray:
    a, b, c, d = sorted(rng.randrange(len(content) + 1) for _ in range(4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _shuffle_boxes(content: bytearray, rng: random.Random) -> bytearray:
    """The outermost boxes of an MP4, or blocks of 1,880 bytes, in another order; one twice, and perhaps one left out."""
    boxes, offset = [], 0
    while offset < len(content):
        size = int.from_bytes(content[offset : offset + 4], "big")
        size = size if content[4:8] == b"ftyp" and 8 <= size <= len(content) - offset else 1880
        boxes.append(content[offset : offset + size])
        offset += size
    chosen = [rng.randrange(len(boxes)) for _ in range(3)]
    boxes[chosen[0]], boxes[chosen[1]] = boxes[chosen[1]], boxes[chosen[0]]
    boxes.insert(chosen[2], boxes[rng.randrange(len(boxes))])
    if rng.random() < 0.5:
        boxes.pop(rng.randrange(len(boxes)))
    return bytearray().join(boxes)


def _piece(content: bytearray, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content))
    return start, min(len(content), start + rng.choice([1, 10, 188, 1000, 20000]))


_MUTATIONS = {
    "bits flipped": _flip,
    "header changed": _flip_head,
    "truncated": _truncate,
    "piece removed": _remove,
    "piece repeated": _repeat,
    "piece cleared": _clear,
    "pieces swapped": _swap,
    "boxes shuffled": _shuffle_boxes,
}


def examine(films: list[Path], seed: int, number: int, keep: Path) -> Outcome:
    """(mutation, outcome, what is wrong with it or '') of file `number`; a file with a wrong outcome is copied to `keep`."""
    rng = random.Random(f"{seed} {number}")
    film = rng.choice(films)
    kind, content = mutated(film.read_bytes(), rng)
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, f"{number}-{film.name}"), Path(folder, "out")
        path.write_bytes(content)
        began = time.monotonic()
        outcome, wrong = _extract(path, out, "use" if number % 2 else "refuse")
        if time.monotonic() - began > _LIMIT_SECONDS:
            wrong = f"{time.monotonic() - began:.0f} s"
        if children := _children():
            wrong = f"processes left: {children}"
        left = [file.name for file in out.iterdir()] if out.exists() else []
        if left != (["film.h5"] if outcome == "frames" else []):
            wrong = f"files left: {left}"
        if wrong:
            keep.mkdir(exist_ok=True, parents=True)
            shutil.copy(path, keep)
            wrong = f"{path.name} ({kind}): {wrong}"
    return kind, outcome, wrong


def extract(path: Path, frames: Path, *options: str) -> str:
    """Extract a film to a frames file as the command does: '' or the line of error.

    Raises ValueError if it ends otherwise.
    """
    ffmpeg.STALL_TIMEOUT_SECONDS = _LIMIT_SECONDS / 2
    words = [f"--source={path}", f"--frames={frames}", *options]
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            extract_frames.main(extract_frames.film_parser().parse_args(words))
    except RefilmError as error:
        line = str(error)
        if not line or "\n" in line or path.name not in line:
            raise ValueError(f"its line: {line!r}") from error
        return line
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return ""


def _extract(path: Path, out: Path, damaged: str) -> tuple[str, str]:
    """('frames' or 'one line', what is wrong with it or '')."""
    try:
        if extract(path, out / "film.h5", "--size=48x32", f"--damaged={damaged}"):
            return "one line", ""
    except ValueError as error:
        return "one line", str(error)
    with FrameStore(out / "film.h5") as store:
        shown, constant = _numbers(store[:]), bool(store.attributes["constant_rate"])
    decoded, log = _decoded(path)
    count, decodable = len(shown), len(decoded) if constant else len(shown)
    recording = path.suffix in (".ts", ".mpg")
    allowed, unchecked = (_INCOMPLETE_FRAMES, _GROUP) if recording else (0, 0)
    if count == 0 or count > 100_000 or (damaged == "refuse" and not decodable - allowed <= count <= decodable):
        return "frames", f"{count} frames, where {decodable} can be decoded"
    # Damage of which the decoder knows nothing cannot be detected: other pictures in its own output are no fault here. An
    # image that it reads too far ends in what its memory held before, and so differs from one decoding to the next.
    invisible = not _REPORTED.search(log) and _unmatched(shown, decoded) <= log.count("overread")
    right = invisible or _in_order(shown[unchecked : count - unchecked], repeated=not constant)
    return "frames", "" if right or damaged == "use" else f"frames {shown}, where ffmpeg decodes {decoded}"


def _in_order(numbers: list[int | None], repeated: bool) -> bool:
    """Whether every frame is one of the film, after the one before it or, where frames may be `repeated`, the same."""
    return None not in numbers and all(
        before < after or (repeated and before == after) for before, after in itertools.pairwise(numbers)
    )


def _unmatched(numbers: list[int | None], decoded: list[int | None]) -> int:
    """How many of the numbers do not come in `decoded` in the same order; equal neighbours count as one."""
    numbers, decoded = ([number for number, _ in itertools.groupby(each)] for each in (numbers, decoded))
    matched = [0] * (len(decoded) + 1)  # the longest common subsequence with the first n of `decoded`
    for number in numbers:
        longer = [0]
        for n, other in enumerate(decoded):
            longer.append(matched[n] + 1 if number == other else max(matched[n + 1], longer[n]))
        matched = longer
    return len(numbers) - matched[-1]


def _numbers(frames: np.ndarray) -> list[int | None]:
    """What each of the frames, uint8 (n, height, width, 3), shows; None where the film has no such number."""
    found: list[int | None] = []
    for pixels in frames:
        try:
            number = number_of(pixels)
        except ValueError:
            number = _COUNT
        found.append(number if number < _COUNT else None)
    return found


def _decoded(path: Path) -> tuple[list[int | None], str]:
    """The numbers of the frames that a plain ffmpeg decodes, and its errors meanwhile, each as often as it was printed. Not
    those of the packets by which it finds out what the file is: it reads them again."""
    command = [ffmpeg.executable(), "-v", "repeat+level+info", "-i", f"file:{path}", "-map", "0:v:0"]
    # Scaled as refilm does it: of garbage that shows no number another scaler may make one.
    scale = "scale=48:32:flags=area+accurate_rnd+full_chroma_int"
    command += ["-fps_mode", "passthrough", "-vf", scale, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
    log = done.stderr.decode(errors="replace").rpartition("[info] Input #0")[2]
    errors = [_ERROR.sub("", line) for line in log.splitlines() if _ERROR.search(line)]
    return _numbers(np.frombuffer(done.stdout, np.uint8).reshape(-1, 32, 48, 3)), "\n".join(errors)


def _children() -> list[str]:
    children = []
    for tasks in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            children += tasks.read_text().split()
    return children


def fuzz(count: int, seed: int, keep: Path, workers: int) -> tuple[Counter, list[str]]:
    """Examine so many files: (how often each outcome occurred, what was wrong)."""
    with tempfile.TemporaryDirectory() as folder:
        films = make_films(Path(folder))
        return fuzz_with(examine, [(films, seed, number, keep) for number in range(count)], workers)


def fuzz_with(examine: Callable[..., Outcome], cases: list[tuple], workers: int) -> tuple[Counter, list[str]]:
    """Examine every case in one of so many processes: (how often each outcome occurred, what was wrong)."""
    with ProcessPoolExecutor(workers) as pool:
        results = [future.result() for future in [pool.submit(examine, *case) for case in cases]]
    return Counter(f"{kind}: {outcome}" for kind, outcome, _ in results), [wrong for _, _, wrong in results if wrong]


def report(name: str, fuzz: Callable[..., tuple[Counter, list[str]]], count: int, seed: int = 1) -> None:
    """Examine so many files on all cores and print what came out; ends with exit status 1 if anything is wrong."""
    keep, began = Path(tempfile.gettempdir(), f"refilm-fuzz-{name}"), time.monotonic()
    outcomes, wrong = fuzz(count, seed, keep, os.cpu_count() or 1)
    for outcome, times in sorted(outcomes.items()):
        print(f"{times:5} {outcome}")
    for line in wrong:
        print(f"WRONG {line}")
    print(f"fuzz {name}: {count} files, seed {seed}: {len(wrong)} went wrong, in {time.monotonic() - began:.0f} s")
    if wrong:
        print(f"fuzz {name}: the files are kept in {keep}")
        sys.exit(1)


if __name__ == "__main__":
    report("mutated", fuzz, *map(int, sys.argv[1:] or (2000,)))
