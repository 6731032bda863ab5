"""The text that ffmpeg prints, as values. All knowledge of its wording is in this module.

Pure functions of text. Their tests run on recorded output of several ffmpeg versions (tests/unit/fixtures/ffmpeg_log), so
that a version with another wording fails there, and is supported by a change here.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

NO_TIME = -(2**63)  # AV_NOPTS_VALUE: a frame without a time

# --- what `ffmpeg -i` prints about a file

_STREAM = re.compile(r"\s*Stream #0:(\d+)(?:\[\w+\])?(?:\((.*?)\))?\S*: (\w+): (.*)")
_TITLE = re.compile(r"\s*(?:title|name) +: (.+)")
_PROGRAM = re.compile(r"  (?:Program (\d+)|No Program)")
_CONTAINER = re.compile(r"^Input #0, (\w+)", re.MULTILINE)
_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d\.\d+), start: (-?\d+\.\d+)", re.MULTILINE)
_DOLBY_VISION = re.compile(
    r"^ +DOVI configuration record: version: \S+ profile: (5(?=,)|(?:10|20)(?=,.* compatibility id: 0\b))", re.MULTILINE
)
_ALPHA_MODE = re.compile(r"alpha_mode *: 1", re.IGNORECASE)
_PIXEL_FORMAT = re.compile(r", \w+\(([^()]*)\)")
_FRAME_SIZE = re.compile(r", ([1-9]\d*)x([1-9]\d*)\b")
_FRAME_RATE = re.compile(r"([\d.]+)(k?) (?:fps|tbr)")
_CHANNEL_LAYOUT = re.compile(r"\d+ Hz, ([^,]+)")
_SECONDARY_TRACK = re.compile(r"\((comment|visual impaired|descriptions|karaoke)\)")
_UNKNOWN_CODEC = re.compile(r"(none|unknown)\b")

# --- what the filters print

_SHOWINFO = re.compile(r"\bn: *\d+ .*? fmt:(\S+) .*?sar:(\d+)/(\d+) s:(\d+)x(\d+) i:(.)")
_SHOWINFO_COLOUR = re.compile(r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)")
_DECODED_FRAME = re.compile(r"n: *\d+ pts: *(NOPTS|-?\d+) +pts_time:\S+ +(?:duration: *(\d+))?")
_TIME_BASE = re.compile(r"config in time_base: (\d+/\d+)")
_CROPDETECT = re.compile(r"\bx1:(-?\d+) x2:(-?\d+) y1:(-?\d+) y2:(-?\d+) w:")
_IDET = re.compile(r"Multi frame detection: TFF: *(\d+) BFF: *(\d+) Progressive: *(\d+)")

# --- warnings and errors

_LOG_PREFIX = re.compile(r"\[(?:[^\]]*@ (?:0x)?[0-9a-f]+|info|warning|error|fatal|panic)\]\s*")
# Messages about the consequences of an error; its cause stands before them.
_SECONDARY_ERROR = re.compile(
    r"Conversion failed|Last message repeated|Task finished|Terminating thread|Error sending frames|Nothing was written"
    r"|Could not open encoder before EOF|Error (submitting|muxing|closing|writing trailer)|Error opening input files?\b"
    r"|too many threads|At least one output file|Guessed Channel Layout"
)
# Decoders of formats without references between frames do not mark a broken one, but print an error.
_BROKEN_FRAME = re.compile(
    r"corrupt decoded frame|Error submitting packet to decoder|Decoding error|error count: \d|error y=\d|CRC mismatch"
    r"|first frame is no keyframe"
)
# Of these decoders with references between frames. Decoding in threads, one may give a frame away before it is marked.
_CONCEALED_FRAME = re.compile(r"concealing \d+ DC")
_CUT_OFF = re.compile(r"partial file|File ended prematurely")


@dataclass(frozen=True)
class StreamInfo:
    """A stream as `ffmpeg -i` lists it.

    index: ffmpeg's number of it; kind: 'Video', 'Audio', 'Subtitle', 'Data', ...; language: its tag, several separated by
    commas, '' without one; description: codec, format, size, rate, disposition; title: of its metadata; program: the number
    of the programme of a broadcast that has it, 0 without one.
    """

    index: int
    kind: str
    language: str
    description: str
    title: str = ""
    program: int = 0


class HeaderDuration(NamedTuple):
    """The duration that a file's header declares, and the start time on the file's clock, both in seconds."""

    seconds: Fraction
    start: Fraction


class ShownFrame(NamedTuple):
    """A decoded frame as `showinfo` prints it. field_order: 'progressive', 'tff' or 'bff', as the frame is tagged."""

    pixel_format: str
    width: int
    height: int
    sample_aspect: Fraction
    field_order: str


class ColourTags(NamedTuple):
    """The colour tags of a decoded frame in ffmpeg's names; 'unknown' where there is none."""

    range: str
    matrix: str
    primaries: str
    transfer: str


class FieldCounts(NamedTuple):
    """How many frames `idet` is sure are interlaced, top or bottom field first, or progressive."""

    tff: int
    bff: int
    progressive: int


def parse_version(text: str) -> str:
    """The version in the output of `ffmpeg -version`: '9.0.2'; 'unknown' if there is none."""
    words = text.split()
    return words[2] if len(words) > 2 else "unknown"


def parse_streams(log: str) -> list[StreamInfo]:
    """The streams of an input in the order of their lines; a broadcast lists a stream in each of its programmes."""
    streams: list[StreamInfo] = []
    program = 0
    for line in log.splitlines():
        if match := _STREAM.match(line):
            index, language, kind, description = match.groups()
            streams.append(StreamInfo(int(index), kind, language or "", description, program=program))
        elif match := _PROGRAM.match(line):
            program = int(match[1] or 0)
        elif streams and (match := _TITLE.match(line)):
            streams[-1] = replace(streams[-1], title=match[1].strip())
    return streams


def container_name(log: str) -> str:
    """The first of ffmpeg's names of the container of an input: 'matroska', 'mov', 'mpegts'; '' if there is none."""
    match = _CONTAINER.search(log)
    return match[1] if match else ""


def header_duration(log: str) -> HeaderDuration | None:
    """The duration and start that the header of an input declares, or None."""
    match = _DURATION.search(log)
    if match is None:
        return None
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + Fraction(match[3])
    return HeaderDuration(seconds, Fraction(match[4]))


def dolby_vision_alone(log: str) -> str:
    """The profile of a stream of Dolby Vision that has no base layer in a standard colour space, or ''."""
    match = _DOLBY_VISION.search(log)
    return match[1] if match else ""


def has_alpha_mode(log: str) -> bool:
    """Whether a VP8 or VP9 stream says in its metadata that it has an alpha channel."""
    return _ALPHA_MODE.search(log) is not None


def is_index_missing(log: str) -> bool:
    """Whether an MP4 or QuickTime file has no index."""
    return "moov atom not found" in log


def is_container_refused(log: str) -> bool:
    """Whether the container of an input is not one of `format_whitelist`."""
    return "Format not on whitelist" in log


def codec_name(description: str) -> str:
    """The codec in the description of a stream."""
    match = re.match(r"\w+", description)
    return match[0] if match else ""


def frame_size(description: str) -> tuple[int, int]:
    """(width, height) in the description of a video stream; (0, 0) if it is unknown."""
    match = _FRAME_SIZE.search(description)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def header_colour(description: str) -> "ColourTags":
    """The colour tags in the description of a video stream: of its container, or else of the stream itself."""
    match = _PIXEL_FORMAT.search(description)
    words = match[1].split(", ") if match else []
    colours = [word for word in words if re.fullmatch(r"[a-z][\w/-]*", word) and word not in ("tv", "pc", "progressive")]
    known = colours[0].split("/") if colours else ["unknown"]
    known = known * 3 if len(known) == 1 else known
    return ColourTags(next((word for word in words if word in ("tv", "pc")), "unknown"), *known)


def header_frame_rate(description: str) -> Fraction | None:
    """Frames per second in the description of a video stream, which ffmpeg prints to two decimals, or None."""
    match = _FRAME_RATE.search(description)
    return Fraction(match[1]) * (1000 if match[2] else 1) if match else None


def is_cover_art(description: str) -> bool:
    """Whether a video stream is a still image that belongs to the file."""
    return "attached pic" in description


def is_declared_progressive(description: str) -> bool:
    """Whether the header of a video stream says that its frames have no fields."""
    return "progressive" in description


def channel_layout(description: str) -> str:
    """The channel layout in the description of an audio stream: 'stereo', '5.1(side)', 'FL' of one channel with that label;
    '' if it is unknown."""
    match = _CHANNEL_LAYOUT.search(description)
    return re.sub(r"1 channels \((\w+)\)", r"\1", match[1].strip()) if match else ""


def is_default(description: str) -> bool:
    """Whether a player plays this stream by default."""
    return "(default)" in description


def is_secondary_track(description: str) -> bool:
    """Whether a soundtrack is a commentary, an audio description or karaoke, and not the film's own."""
    return _SECONDARY_TRACK.search(description) is not None


def is_codec_unknown(description: str) -> bool:
    """Whether this ffmpeg has no decoder for a stream."""
    return _UNKNOWN_CODEC.match(description) is not None


def shown_frames(log: str) -> list[ShownFrame]:
    """The frames that passed the filter `showinfo`."""
    return [_shown_frame(*match.groups()) for match in _SHOWINFO.finditer(log)]


def _shown_frame(pixel_format: str, aspect_x: str, aspect_y: str, width: str, height: str, order: str) -> ShownFrame:
    known = int(aspect_x) and int(aspect_y)
    aspect = Fraction(int(aspect_x), int(aspect_y)) if known else Fraction(1)
    return ShownFrame(pixel_format, int(width), int(height), aspect, {"T": "tff", "B": "bff"}.get(order, "progressive"))


def colour_tags(log: str) -> list[ColourTags]:
    """The colour tags of the frames that passed the filter `showinfo`."""
    return [ColourTags(*tags) for tags in _SHOWINFO_COLOUR.findall(log)]


def bright_areas(log: str) -> list[tuple[int, int, int, int]]:
    """The bright area (x1, x2, y1, y2; inclusive) of each frame that passed the filter `cropdetect`."""
    return [(int(x1), int(x2), int(y1), int(y2)) for x1, x2, y1, y2 in _CROPDETECT.findall(log)]


def field_counts(log: str) -> FieldCounts | None:
    """The last result of the filter `idet`, or None if it saw no frame."""
    matches = _IDET.findall(log)
    return FieldCounts(*map(int, matches[-1])) if matches else None


def framecrc_span(lines: Iterable[bytes]) -> tuple[Fraction, Fraction] | None:
    """Seconds at which the first packet begins and the last one ends, in the output of the muxer `framecrc`; None
    without a packet."""
    ticks: dict[bytes, Fraction] = {}
    starts, ends = [], []
    for line in lines:
        if line.startswith(b"#tb "):
            stream, tick = line[4:].split(b":")
            ticks[stream] = Fraction(tick.strip().decode())
        fields = line.split(b",")
        if len(fields) >= 6 and not line.startswith(b"#"):
            starts.append(ticks[fields[0]] * int(fields[2]))
            ends.append(ticks[fields[0]] * (int(fields[2]) + int(fields[3])))
    return (min(starts), max(ends)) if starts else None


def decoded_frame(line: str) -> tuple[int, int] | None:
    """(time, duration) of the frame that a line of the filter `showinfo` is about, in ticks; NO_TIME and 0 where unknown.

    None for any other line.
    """
    match = _DECODED_FRAME.search(line) if " pts:" in line else None  # half of all lines, which are many, are others
    if match is None:
        return None
    return (NO_TIME if match[1] == "NOPTS" else int(match[1])), int(match[2] or 0)


def time_base(line: str) -> Fraction | None:
    """Seconds of a tick, in the line about its input that the filter `showinfo` prints first. None for any other line."""
    match = _TIME_BASE.search(line)
    return Fraction(match[1]) if match else None


def warning(line: str) -> str:
    """What a line with its level says if it is a warning or an error, else ''.

    A filter does not print its line about a frame at once: the decoder may print in the middle of it that a frame is broken.
    """
    if "[info]" not in line[:80]:
        return line
    match = _BROKEN_FRAME.search(line)
    return line[match.start() :] if match else ""


def is_broken_frame(line: str) -> bool:
    """Whether the line says that the decoder could not decode a frame, or only in part."""
    return _BROKEN_FRAME.search(line) is not None


def is_concealed_frame(line: str) -> bool:
    """Whether the line says that the decoder guessed a part of a frame, or of a field."""
    return _CONCEALED_FRAME.search(line) is not None


def is_cut_off(log: str) -> bool:
    """Whether the demuxer noticed that the file ends too early."""
    return _CUT_OFF.search(log) is not None


def is_disk_full(log: str) -> bool:
    """Whether ffmpeg failed because there was no space left to write to."""
    return "No space left on device" in log


def is_pipe_closed(log: str) -> bool:
    """Whether ffmpeg ended because the reader of its output needed no more of it."""
    return "Broken pipe" in log


def summarise_stderr(log: str, lines: int = 2) -> str:
    """The last `lines` messages that name a cause, joined into one line; consequences only where there is nothing else."""
    messages = dict.fromkeys(_LOG_PREFIX.sub("", line).strip() for line in log.splitlines())
    nonempty = [message for message in messages if message]
    causes = [message for message in nonempty if not _SECONDARY_ERROR.search(message)]
    return "; ".join((causes or nonempty)[-lines:])


def is_quicktime(log: str) -> bool:
    """Whether an input is a QuickTime file, which ffmpeg's name of the container does not tell from an MP4 file."""
    return re.search(r"major_brand *: qt\b", log) is not None
