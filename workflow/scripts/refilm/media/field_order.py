"""Whether a film is interlaced, and which field of its frames comes first."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import ffmpeg

from refilm.core.errors import RefilmError
from refilm.core.sampling import midpoints
from refilm.media import ffmpeg_log
from refilm.media.ffmpeg import command_line, run_ffmpeg
from refilm.media.film_file import FilmFile
from refilm.media.frame_properties import FrameProperties

# Interlaced formats: heights with and without padding to macroblocks (SMPTE ST 125, ITU-R BT.601 and BT.709), and the
# rates of their frames.
_BROADCAST_HEIGHTS = {480, 486, 512, 576, 608, 1080, 1088}
_BROADCAST_RATES = {Fraction(25), Fraction(30), Fraction(30000, 1001)}
# Codecs that have no interlaced mode.
_PROGRESSIVE_CODECS = {"vp8", "vp9", "av1", "vvc", "theora", "mpeg1video", "h263", "flv1", "gif", "apng", "webp"}
_RUNS, _RUN_FRAMES = 6, 20  # where it must be measured: so many runs of so many consecutive frames
_MIN_DECIDED = 8  # frames of which `idet` must be sure
# True fields have one order; fine horizontal stripes, which `idet` takes for combing, show both.
_TAG_MIN_SHARE, _INTERLACED_MIN_SHARE = 0.75, 0.9
_MAJORITY_RATIO = 4  # times as many frames of one kind as of the other


def detect_field_order(film: FilmFile, properties: FrameProperties, fps: Fraction, seconds: Fraction) -> str:
    """'progressive', 'tff' or 'bff': by the tags of the frames where those can be trusted, else by measurement.

    A header that says progressive is believed, except at the sizes and rates of broadcasts, where captures often say so of
    interlaced frames. A film tagged as interlaced may hold progressive frames, as PAL films do.
    """
    broadcast = properties.height in _BROADCAST_HEIGHTS and fps in _BROADCAST_RATES
    declared = ffmpeg_log.is_declared_progressive(film.video_stream.description) and not broadcast
    if properties.field_order == "progressive" and (declared or film.video_codec in _PROGRESSIVE_CODECS):
        return "progressive"
    counts = _count_interlaced(film, seconds)
    order = _more_frequent_order(counts)
    interlaced, progressive = counts["tff"] + counts["bff"], counts["progressive"]
    if properties.field_order == "progressive":
        needed = max(_MIN_DECIDED, _MAJORITY_RATIO * progressive, _INTERLACED_MIN_SHARE * interlaced)
        return order if counts[order] >= needed else "progressive"
    decided = interlaced + progressive >= _MIN_DECIDED
    contradicted = counts[order] < _TAG_MIN_SHARE * interlaced or _MAJORITY_RATIO * interlaced < progressive
    return "progressive" if decided and contradicted else properties.field_order


def interlaced_field_order(film: FilmFile, properties: FrameProperties, seconds: Fraction) -> str:
    """'tff' or 'bff', for a film that is to be deinterlaced in any case: as tagged, else as measured."""
    if properties.field_order != "progressive":
        return properties.field_order
    return _more_frequent_order(_count_interlaced(film, seconds))


def _more_frequent_order(counts: Counter[str]) -> str:
    return "bff" if counts["bff"] > counts["tff"] else "tff"


def _count_interlaced(film: FilmFile, seconds: Fraction) -> Counter[str]:
    """How many of the sampled frames `idet` is sure are 'tff', 'bff' and 'progressive'."""
    long_enough = seconds > _RUNS * 2
    starts = midpoints(seconds, _RUNS) if long_enough else [Fraction(0)]
    frames = _RUN_FRAMES if long_enough else 10 * _RUN_FRAMES
    counts = Counter(tff=0, bff=0, progressive=0)
    with ThreadPoolExecutor(2) as pool:
        for log in pool.map(lambda start: _run_idet(film, start, frames), starts):
            measured = ffmpeg_log.field_counts(log)
            counts.update(measured._asdict() if measured else {})
    return counts


def _run_idet(film: FilmFile, start: Fraction, frames: int) -> str:
    """What `idet` prints about so many frames from the key frame before `start` seconds on; '' if they cannot be decoded."""
    seek = {"noaccurate_seek": None, "ss": f"{float(start):.3f}"} if start else {}
    options = {"vf": "idet", "fps_mode": "passthrough", "frames:v": frames}
    output = ffmpeg.output(film.video(**seek), "-", format="null", **options)
    try:
        return run_ffmpeg(command_line(output), film.path)[1]
    except RefilmError:  # in a damaged film some places cannot be read
        return ""
