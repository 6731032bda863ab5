"""What the decoded frames of a film look like: size and shape, colour, fields, and where the picture lies in them.

Read off what ffmpeg's `showinfo` and `cropdetect` say of sampled frames, and `idet` of runs of neighbouring ones.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg

from refilm.core.errors import RefilmError
from refilm.media import ffmpeg_log
from refilm.media.bars import Box, picture_box
from refilm.media.colour import Colour, colour_of
from refilm.media.ffmpeg import command_line, film_input, run_ffmpeg
from refilm.media.filters import unify_size_filters

_SAMPLES = 200  # about so many frames are looked at for black bars
_FEW = 24  # fewer key frames than these say too little about black bars
_PLAIN = 4  # but where most of them fill the picture, so many will do
_MOST = 800  # of a film that consists of key frames, about so many are decoded to look at

_FIELD_HEIGHTS = {480, 486, 512, 576, 608, 1080, 1088}  # of interlaced formats
_FIELD_RATES = {Fraction(25), Fraction(30), Fraction(30000, 1001)}  # and their frames a second
# Codecs that know no fields.
_PROGRESSIVE_CODECS = {"vp8", "vp9", "av1", "vvc", "theora", "mpeg1video", "h263", "flv1", "gif", "apng", "webp"}
_RUNS, _RUN_FRAMES = 6, 20  # where fields must be measured: so many runs of so many neighbouring frames
_DECIDED = 8  # frames of which `idet` must be sure
# True fields come in one order; fine stripes, which resemble combing, in both.
_TAG_MIN_SHARE, _INTERLACED_MIN_SHARE = 0.75, 0.9
_MAJORITY_RATIO = 4  # times as many frames of one kind as of the other


@dataclass(frozen=True)
class Look:
    """How a film's frames look.

    width, height: the commonest size in pixels, after rotation; sample_aspect: width of a pixel over its height;
    changing: some frames have another size or shape; fields: 'progressive', 'tff' or 'bff' (top or bottom field first), as
    most frames are tagged; box: the picture without its black bars.
    """

    width: int
    height: int
    sample_aspect: Fraction
    changing: bool
    colour: Colour
    fields: str
    box: Box


def analyse_key_frames(path: Path | str, stream: int, decoder: dict) -> Look | None:
    """The look of a film by its key frames, or None where these are too few to tell.

    decoder: what options its decoder needs.
    """
    # Dropped by the demuxer already, the other packets cost nothing: five times faster than skipping them in the decoder.
    # Of a film of nothing but key frames, such as ProRes, one is taken each so many bytes of the file.
    step = Path(path).stat().st_size // _MOST
    sparse = f"noise=drop='if(key*gte(pos+2,ld(0)),st(0,pos+{step})*0,1)'"
    options = {"discard": "nokey", "skip_frame": "nokey", "bsf:v": sparse} | decoder
    return _look(path, stream, options, every=1, fewest=_FEW)


def analyse_frames(path: Path | str, stream: int, decoder: dict, count: int) -> Look:
    """The look of a film of `count` frames, of which those are decoded that others need. RefilmError if none can be."""
    hasty = {"skip_frame": "noref", "skip_loop_filter": "all"}  # half the time, and blocks do not hide a bar
    look = _look(path, stream, hasty | decoder, every=max(1, count // _SAMPLES), fewest=1)
    if look is None:
        raise RefilmError(f"{path}: no frame of the picture can be decoded: it is damaged or of a kind that ffmpeg lacks")
    return look


def _look(path, stream: int, options: dict, every: int, fewest: int) -> Look | None:
    said = _describe(path, stream, options, ["showinfo=checksum=0", *_each(every), _CROPDETECT])
    shown = ffmpeg_log.shown_frames(said)
    if not shown:
        return None
    shapes = Counter((frame.width, frame.height, frame.sample_aspect) for frame in shown)
    width, height, aspect = _mode(shapes)
    if len(shown) < fewest and (len(shapes) > 1 or not _fills_frame(said, width, height)):
        return None
    if len(shapes) > 1:
        alike = unify_size_filters(width, height, aspect, changing=True)
        edges = _describe(path, stream, options | {"reinit_filter": 0}, [*alike, *_each(every), _CROPDETECT])
    else:
        edges = said
    box = picture_box(ffmpeg_log.bright_areas(edges), width, height)
    fields = _mode(frame.field_order for frame in shown)
    colour = colour_of(_mode(frame.pixel_format for frame in shown), _mode(ffmpeg_log.colour_tags(said)), width, height)
    return Look(width, height, aspect, len(shapes) > 1, colour, fields, box)


def _fills_frame(said: str, width: int, height: int) -> bool:
    """Whether most of the frames, and a few at least, show something at all four edges: then others can show no bars."""
    edges = ffmpeg_log.bright_areas(said)
    whole = sum(x1 <= 1 and y1 <= 1 and x2 >= width - 2 and y2 >= height - 2 for x1, x2, y1, y2 in edges)
    return whole >= _PLAIN and 2 * whole > len(edges)


_CROPDETECT = f"cropdetect=limit={24 / 255}:round=2:reset=1:skip=0"


def _each(every: int) -> list[str]:
    return [f"select=not(mod(n\\,{every}))"] if every > 1 else []


def _describe(path, stream: int, options: dict, filters: list[str]) -> str:
    source = film_input(path, **options)[str(stream)]
    output = ffmpeg.output(source, "-", format="null", fps_mode="passthrough", vf=",".join(filters))
    return run_ffmpeg(command_line(output), str(path))[1]


def _mode(things):
    return Counter(things).most_common(1)[0][0]


def detect_field_order(
    path: Path | str, stream: int, codec: str, look: Look, declared: bool, fps: Fraction, seconds: float
) -> str:
    """'progressive', 'tff' or 'bff', by the frames' tags where those can be trusted and by measurement where not.

    declared: the file says that the picture is progressive. Such a film is believed, but for the sizes and rates of
    broadcasts, where captures often say so of fields. A film that says it has fields may carry whole pictures in them, as
    PAL films do.
    """
    broadcast = look.height in _FIELD_HEIGHTS and fps in _FIELD_RATES
    believed = codec in _PROGRESSIVE_CODECS or (declared and not broadcast)
    if look.fields == "progressive" and believed:
        return "progressive"
    counts = _count_combed(path, stream, seconds)
    order = max(("tff", "bff"), key=counts.get)
    fields, whole = counts["tff"] + counts["bff"], counts["progressive"]
    if look.fields == "progressive":
        plain = counts[order] >= max(_DECIDED, _MAJORITY_RATIO * whole, _INTERLACED_MIN_SHARE * fields)
        return order if plain else "progressive"
    refuted = fields + whole >= _DECIDED and (counts[order] < _TAG_MIN_SHARE * fields or _MAJORITY_RATIO * fields < whole)
    return "progressive" if refuted else look.fields


def order_of_fields(path: Path | str, stream: int, look: Look, seconds: float) -> str:
    """'tff' or 'bff', for a film that consists of fields whatever it says: as tagged, else as measured."""
    if look.fields != "progressive":
        return look.fields
    counts = _count_combed(path, stream, seconds)
    return "bff" if counts["bff"] > counts["tff"] else "tff"


def _count_combed(path, stream: int, seconds: float) -> Counter:
    """How many of the sampled frames are sure to be 'tff', 'bff' and 'progressive'."""
    runs = _RUNS if seconds > _RUNS * 2 else 1
    places = [seconds * (2 * n + 1) / (2 * runs) for n in range(runs)] if runs > 1 else [0]

    def measure(place: float) -> str:
        seek = {"noaccurate_seek": None, "ss": f"{place:.3f}"} if place else {}  # from the key frame before it on
        source = film_input(path, **seek)[str(stream)]
        frames = {"frames:v": _RUN_FRAMES if runs > 1 else 10 * _RUN_FRAMES}
        output = ffmpeg.output(source, "-", format="null", vf="idet", fps_mode="passthrough", **frames)
        try:
            return run_ffmpeg(command_line(output), str(path))[1]
        except RefilmError:  # where a damaged film cannot be looked into, nothing is known
            return ""

    with ThreadPoolExecutor(2) as pool:
        runs_counts = [ffmpeg_log.field_counts(log) for log in pool.map(measure, places)]
    counts = Counter(tff=0, bff=0, progressive=0)
    for run in runs_counts:
        counts.update(run._asdict() if run else {})
    return counts
