"""The sound of a film: which of its soundtracks, and that track as stereo at 48 kHz on the clock of the video."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg
from ffmpeg.nodes import FilterableStream

from refilm.core.errors import RefilmError
from refilm.media import ffmpeg_log
from refilm.media.ffmpeg import FfmpegProcess, command_line, film_input
from refilm.media.film_file import FilmFile
from refilm.media.languages import language_code

SAMPLE_RATE = 48000  # Hz, which every browser plays

# ITU-R BS.775: centre and surrounds at -3 dB into the sides, no low-frequency effects. Not normalised, as ffmpeg does it
# for integers: that puts dialogue 7.7 dB lower than in the cinema. What is then too loud, the limiter holds down.
_CENTRE, _SURROUND = 0.7071, 0.7071
_SURROUND_OF_TWO_PAIRS = 0.5  # side and back surrounds together are as loud as one pair
_LIMITER_CEILING = 0.794  # -2 dBFS after a downmix: what AAC adds to the highest peaks still fits
_EXIT_GRACE_SECONDS = 0.2  # that a decoder may take to end after its last sample
_GAP_THRESHOLD = 0.02  # seconds by which the clock of the sound jumps at a gap or overlap; less is jitter


@dataclass(frozen=True)
class Track:
    """A soundtrack.

    number: from 1, for people; stream: ffmpeg's index; language: its tag, several separated by commas, '' without one;
    layout: of its channels; description, title: what the file says of it.
    """

    number: int
    stream: int
    language: str
    layout: str
    description: str
    title: str = ""

    def __str__(self) -> str:
        title = self.title and f'"{self.title}"'
        return f"{self.number} ({', '.join(part for part in (self.language, self.layout, title) if part)})"

    def rank(self) -> tuple[bool, bool, bool]:
        """Greater for a track that a player prefers: one that can be decoded, the default one, not a commentary."""
        decodable = not ffmpeg_log.is_codec_unknown(self.description)
        primary = not ffmpeg_log.is_secondary_track(self.description)
        return decodable, ffmpeg_log.is_default(self.description), primary


@dataclass(frozen=True)
class Sound:
    """The sound of a part of a film: one track of it, from `start` seconds on the file's own clock."""

    source: str
    track: Track
    start: Fraction


def film_sound(source: Path | str, start: Fraction, wanted: str = "auto") -> Sound | None:
    """The wanted soundtrack from `start` (seconds on the file's own clock) on, or None for silence.

    source: the film file, or '' where there is none with sound; wanted: 'auto', a language, a number from 1, or 'none'.
    Raises RefilmError, with the tracks that are available, for one that is not.
    """
    if not source:
        return None
    track = choose_track(FilmFile(source), wanted)
    return None if track is None else Sound(str(source), track, start)


def soundtracks(film: FilmFile) -> list[Track]:
    """All soundtracks of a film, in the order of the file."""
    tracks: dict[int, Track] = {}
    for stream in film.streams:
        if stream.kind == "Audio":
            # A broadcast lists a stream in each of its programmes.
            number = tracks[stream.index].number if stream.index in tracks else len(tracks) + 1
            language = "" if stream.language == "und" else stream.language
            layout = ffmpeg_log.channel_layout(stream.description)
            tracks[stream.index] = Track(number, stream.index, language, layout, stream.description, stream.title)
    return list(tracks.values())


def choose_track(film: FilmFile, wanted: str) -> Track | None:
    """The wanted soundtrack, or None for silence; among several the one that a player prefers.

    wanted: 'auto', a language, a number from 1, or 'none'. Raises RefilmError for one that is not available.
    """
    if wanted == "none":
        return None
    tracks = soundtracks(film)
    matching = [track for track in tracks if _matches(track, wanted)]
    if not matching and wanted != "auto":
        available = f"there are: {', '.join(map(str, tracks))}" if tracks else "the film is silent"
        name = f"soundtrack {wanted}" if wanted.isdecimal() else f"soundtrack in '{wanted}'"
        raise RefilmError(
            f"{film.path}: audio: there is no {name}; {available}: set audio to one of these, to auto or to none"
        )
    return max(matching, key=Track.rank, default=None)


def _matches(track: Track, wanted: str) -> bool:
    if wanted == "auto":
        return True
    if wanted.isdecimal():
        return track.number == int(wanted)
    return language_code(wanted) in [language_code(language) for language in track.language.split(",") if language]


@contextmanager
def sound_pipe(sound: Sound, seconds: Fraction) -> Iterator[int]:
    """The file descriptor of a pipe that delivers the track as PCM, mixed down, with its own times, in NUT.

    Only samples whose time is before `seconds` from the start pass: a false time far ahead, as damage makes it, would delay
    all that follows it. This first ffmpeg keeps no state: where a broadcast changes from stereo to surround it creates
    its filters again, and those that count time would restart at zero. They are in `synchronise_audio`, behind the pipe.
    Raises RefilmError if the sound cannot be decoded.
    """
    track = film_input(sound.source, copyts=None)[str(sound.track.stream)]
    part = track.filter_("aselect", f"lt(t,{float(sound.start + seconds):.6f})")
    mixed = part.filter_("aresample", SAMPLE_RATE, **_downmix_options(sound.track.layout))
    command = command_line(ffmpeg.output(mixed, "pipe:1", format="nut", acodec="pcm_f32le"), "-v", "error")
    reading, writing = os.pipe()
    with open(reading, "rb", 0), FfmpegProcess(command, sound.source, stdout=writing) as decoder:
        os.close(writing)
        try:
            yield reading
        finally:  # if the reader failed too, this is the cause
            if not decoder.running(wait_seconds=_EXIT_GRACE_SECONDS):
                _check_decoded(decoder, sound)


def _check_decoded(decoder: FfmpegProcess, sound: Sound) -> None:
    try:
        decoder.finish()
    except RefilmError as error:
        if not ffmpeg_log.is_pipe_closed(str(error)):  # a reader that needs no more of it closes the pipe
            raise RefilmError(f"{error}: soundtrack {sound.track}: set audio to another one, or to none") from error


def _downmix_options(layout: str) -> dict[str, str | float]:
    """Options of `aresample` that mix a channel layout down to stereo, or keep mono."""
    two_pairs = layout.startswith(("7.", "9.", "octagonal", "hexadecagonal", "22.")) and "wide" not in layout
    return {
        "ochl": "mono" if layout == "mono" else "stereo",  # a browser plays mono at its full level on both sides
        "clev": _CENTRE,
        "slev": _SURROUND_OF_TWO_PAIRS if two_pairs else _SURROUND,
        "lfe_mix_level": 0,
        "tsf": "fltp",
        "osf": "flt",
    }


def synchronise_audio(sound: Sound, pipe: int, seconds: Fraction) -> FilterableStream:
    """The ffmpeg-python stream of the sound from its `sound_pipe`, on the clock of the video, whose zero is the first frame.

    Earlier samples are cut, a late start and gaps are silence, and it lasts as long as the video, `seconds`.
    """
    start, end = f"{float(sound.start):.6f}", f"{float(seconds):.6f}"
    ceiling = 1 if sound.track.layout in ("mono", "stereo") else _LIMITER_CEILING
    return (
        ffmpeg.input(f"pipe:{pipe}", format="nut", copyts=None, protocol_whitelist="pipe")
        .audio.filter_("atrim", start=start)
        .filter_("asetpts", f"PTS-{start}/TB")
        .filter_("aresample", **{"async": 1, "first_pts": 0, "min_hard_comp": _GAP_THRESHOLD})
        .filter_("alimiter", limit=ceiling, level=0, latency=1)
        .filter_("apad", whole_dur=end)
        .filter_("atrim", end=end)
    )
