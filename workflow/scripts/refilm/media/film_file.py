"""A film file: what ffmpeg prints about it, read once, and what follows from that."""

import math
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from ffmpeg.nodes import FilterableStream

from refilm.core.errors import RefilmError
from refilm.media import ffmpeg_log
from refilm.media.damage import declared_size
from refilm.media.ffmpeg import dump_streams, film_input
from refilm.media.ffmpeg_log import HeaderDuration, StreamInfo, summarise_stderr
from refilm.media.timeline import nominal_rate

# Containers whose header declares how long the film is. For others ffmpeg estimates a duration from sizes and clocks.
_CONTAINERS_WITH_DURATION = {"mov", "matroska", "avi", "flv", "asf"}
_LEAST_FRAME_BYTES = 16  # that a frame takes in any file
_LIBVPX = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class FilmFile:
    """A film file, read when something of it is first needed, and only once.

    path: as it was given. Every property raises RefilmError in one line if the file is missing, empty, or not a film.
    """

    def __init__(self, path: Path | str):
        self.path = str(path)

    @cached_property
    def log(self) -> str:
        """What ffmpeg prints about the file and its streams."""
        _check_file(Path(self.path), self.path)
        log = dump_streams(self.path)
        _check_is_film(self.path, log)
        return log

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
        return ffmpeg_log.header_duration(self.log) if self.container in _CONTAINERS_WITH_DURATION else None

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
        """The video stream with the most pixels; cover art does not count."""
        videos = [stream for stream in self.streams if stream.kind == "Video"]
        films = [stream for stream in videos if not ffmpeg_log.is_cover_art(stream.description)]
        if not films:
            raise RefilmError(f"{self.path}: this file has no video, only sound: give a film as its source")
        return max(films, key=lambda stream: math.prod(ffmpeg_log.frame_size(stream.description)))

    @cached_property
    def video_codec(self) -> str:
        """ffmpeg's name of the codec of the video stream."""
        return ffmpeg_log.codec_name(self.video_stream.description)

    def input(self, **options: object) -> FilterableStream:
        """An ffmpeg-python input of the file with these options."""
        return film_input(self.path, **options)

    def video(self, **options: object) -> FilterableStream:
        """The video stream of an input with these options and those that its decoder needs."""
        return self.input(**options, **self._decoder_options)[str(self.video_stream.index)]

    @cached_property
    def _decoder_options(self) -> dict[str, str]:
        """Of the two decoders for VP8 and VP9 only libvpx decodes the alpha channel."""
        if self.video_codec in _LIBVPX and ffmpeg_log.has_alpha_mode(self.log):
            return {"c:v": _LIBVPX[self.video_codec]}
        return {}


def _check_file(path: Path, name: str) -> None:
    """Raises RefilmError or OSError if there is no readable file that holds something."""
    if not path.exists():
        raise RefilmError(f"{name}: there is no such file: put the film there, or correct its source")
    if not path.is_file():
        raise RefilmError(f"{name}: this is not a file: a film's source is one video file")
    if path.stat().st_size == 0:
        raise RefilmError(f"{name}: the file is empty (0 bytes): copy the film again")
    with open(path, "rb"):
        pass  # an unreadable file is named here by the operating system, before ffmpeg wraps the error


def _check_is_film(path: str, log: str) -> None:
    """Raises RefilmError if ffmpeg cannot read the file as a film, or cannot show its colours."""
    if ffmpeg_log.is_dolby_vision_5(log):
        raise RefilmError(
            f"{path}: Dolby Vision profile 5, whose colours ffmpeg's filters cannot show: convert it to HDR10 or SDR first"
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
