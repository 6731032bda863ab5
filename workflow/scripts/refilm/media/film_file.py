"""A film file: what ffmpeg prints about it, read once, and what follows from that."""

import math
import tempfile
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import ffmpeg
from ffmpeg.nodes import FilterableStream

from refilm.core.errors import RefilmError
from refilm.core.files import check_exists
from refilm.media import ffmpeg_log
from refilm.media.damage import declared_size, movie_seconds
from refilm.media.ffmpeg import command_line, dump_streams, film_input, run_ffmpeg, run_ffmpeg_into
from refilm.media.ffmpeg_log import HeaderDuration, StreamInfo, summarise_stderr
from refilm.media.frame_rate import nominal_rate

# Containers whose header declares how long the film is. For others ffmpeg estimates a duration from sizes and clocks.
_CONTAINERS_WITH_DURATION = {"mov", "matroska", "avi", "flv", "asf"}
# Containers without a header of all streams, which ffmpeg looks for in so many bytes and microseconds of the file.
_RECORDINGS = {"mpegts", "mpeg"}
_FAR = {"probesize": 100_000_000, "analyzeduration": 60_000_000}
_LEAST_FRAME_BYTES = 16  # that a frame takes in any file
_LIBVPX = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class FilmFile:
    """A film file, read when something of it is first needed, and only once.

    path: as it was given. Every property raises RefilmError in one line if the file is missing, empty, or not a film.
    """

    def __init__(self, path: Path | str):
        self.path = str(path)

    @property
    def log(self) -> str:
        """What ffmpeg prints about the file and its streams."""
        return self._opened[0]

    @cached_property
    def _opened(self) -> tuple[str, dict[str, int]]:
        """(log, options of the input with which ffmpeg finds all streams)."""
        _check_file(Path(self.path), self.path)
        log, options = dump_streams(self.path), {}
        if ffmpeg_log.container_name(log) in _RECORDINGS:
            far = dump_streams(self.path, **_FAR)
            if _known_streams(far) != _known_streams(log):
                log, options = far, _FAR
        _check_is_film(self.path, log)
        return log, options

    @cached_property
    def streams(self) -> list[StreamInfo]:
        """All streams, as ffmpeg lists them."""
        return ffmpeg_log.parse_streams(self.log)

    @cached_property
    def container(self) -> str:
        """ffmpeg's name of the container."""
        return ffmpeg_log.container_name(self.log)

    @cached_property
    def declared_duration(self) -> HeaderDuration | None:
        """The duration that the header declares; None for containers that have no such header."""
        duration = ffmpeg_log.header_duration(self.log) if self.container in _CONTAINERS_WITH_DURATION else None
        # To the end of a track that begins late, where an edit list cuts its end, ffmpeg adds its beginning.
        seconds = movie_seconds(self.path) if duration and self.container == "mov" else None
        return duration._replace(seconds=min(duration.seconds, seconds)) if duration and seconds else duration

    @cached_property
    def estimated_seconds(self) -> Fraction | None:
        """How long the film is by its header, or by what ffmpeg estimates without one; None where it does not know."""
        duration = ffmpeg_log.header_duration(self.log)
        return duration.seconds if duration else None

    @cached_property
    def nominal_rate(self) -> Fraction:
        """Frames per second as the header says."""
        return nominal_rate(ffmpeg_log.header_frame_rate(self.video_stream.description))

    @cached_property
    def estimated_frames(self) -> int | None:
        """How many frames the film has by its header; None where it does not say how long the film is."""
        if self.estimated_seconds is None:
            return None
        possible = Path(self.path).stat().st_size // _LEAST_FRAME_BYTES  # of a clock that is wrong the size is right
        return max(1, min(round(self.estimated_seconds * self.nominal_rate), possible))

    @cached_property
    def video_stream(self) -> StreamInfo:
        """The video stream with the most pixels; cover art does not count, and neither does a single picture."""
        videos = [stream for stream in self.streams if stream.kind == "Video"]
        films = [stream for stream in videos if not ffmpeg_log.is_cover_art(stream.description)]
        if not films:
            raise RefilmError(f"{self.path}: this file has no video, only sound: give a film as its source")
        films.sort(key=lambda stream: -math.prod(ffmpeg_log.frame_size(stream.description)))
        return next((stream for stream in films if len(films) == 1 or self._has_two_packets(stream)), films[0])

    @property
    def is_recording(self) -> bool:
        """Whether it is in a container of broadcasts, which begin and end in the middle of a frame."""
        return self.container in _RECORDINGS

    @cached_property
    def other_videos(self) -> list[StreamInfo]:
        """The other video streams of the same programme of a recording."""
        own = self.video_stream
        same = [stream for stream in self.streams if stream.kind == "Video" and stream.program == own.program]
        return [stream for stream in same if stream.index != own.index] if self.is_recording else []

    def packet_span(self, *streams: str, **options: object) -> tuple[Fraction, Fraction] | None:
        """Seconds on the file's own clock at which the first packet of some streams begins and the last one ends; None
        without a packet. streams: ffmpeg's numbers or specifiers; options: of the input."""
        source = self.input(copyts=None, **options)
        output = ffmpeg.output(*(source[stream] for stream in streams), "pipe:1", c="copy", format="framecrc")
        with tempfile.TemporaryFile() as lines:
            run_ffmpeg_into(lines, command_line(output, "-v", "error"), self.path)
            return ffmpeg_log.framecrc_span(lines)

    def _has_two_packets(self, stream: StreamInfo) -> bool:
        video = self.input()[str(stream.index)]
        output = ffmpeg.output(video, "pipe:1", c="copy", format="framecrc", **{"frames:v": 2})
        lines = run_ffmpeg(command_line(output, "-v", "error"), self.path)[0].splitlines()
        return sum(not line.startswith("#") for line in lines) > 1

    @cached_property
    def video_codec(self) -> str:
        """ffmpeg's name of the codec of the video stream."""
        return ffmpeg_log.codec_name(self.video_stream.description)

    def input(self, **options: object) -> FilterableStream:
        """An ffmpeg-python input of the file with these options."""
        return film_input(self.path, **self._opened[1], **options)

    def video(self, **options: object) -> FilterableStream:
        """The video stream of an input with these options and those that its decoder needs."""
        return self.input(**options, **self._decoder_options)[str(self.video_stream.index)]

    @cached_property
    def _decoder_options(self) -> dict[str, str]:
        """Of the two decoders for VP8 and VP9 only libvpx decodes the alpha channel."""
        if self.video_codec in _LIBVPX and ffmpeg_log.has_alpha_mode(self.log):
            return {"c:v": _LIBVPX[self.video_codec]}
        return {}


def _known_streams(log: str) -> set[tuple[int, bool]]:
    """(index, whether ffmpeg knows its format) of all streams."""
    known = {"Video": lambda text: any(ffmpeg_log.frame_size(text)), "Audio": ffmpeg_log.channel_layout}
    streams = ffmpeg_log.parse_streams(log)
    return {(one.index, one.kind not in known or bool(known[one.kind](one.description))) for one in streams}


def _check_file(path: Path, name: str) -> None:
    """Raises RefilmError or OSError if there is no readable file that holds something."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise RefilmError(f"{name!a}: the name of this file is not UTF-8: rename it") from error
    if not path.exists():
        raise RefilmError(f"{name}: there is no such file: put the film there, or correct its source")
    if not path.is_file():
        raise RefilmError(f"{name}: this is not a file: a film's source is one video file")
    if path.stat().st_size == 0:
        raise RefilmError(f"{name}: the file is empty (0 bytes): copy the film again")
    check_exists(path)  # an unreadable file is named here by the operating system, before ffmpeg wraps the error


def _check_is_film(path: str, log: str) -> None:
    """Raises RefilmError if ffmpeg cannot read the file as a film, or cannot show its colours."""
    if profile := ffmpeg_log.dolby_vision_alone(log):
        raise RefilmError(
            f"{path}: Dolby Vision profile {profile}, whose colours ffmpeg's filters cannot show: convert it to HDR10 or "
            "SDR first"
        )
    if any(stream.kind in ("Video", "Audio") for stream in ffmpeg_log.parse_streams(log)):
        return
    if ffmpeg_log.is_index_missing(log) and declared_size(path):
        raise RefilmError(
            f"{path}: the film is damaged: its index, which such files have at their end, is missing, and without it "
            "nothing can be read: copy it again"
        )
    if ffmpeg_log.is_container_refused(log):
        raise RefilmError(
            f"{path}: this is not a film but a single image, or a list or script that names other files, none of which is "
            "opened: give the film itself"
        )
    raise RefilmError(f"{path}: this file cannot be read as a film: {summarise_stderr(log, 1)}")
