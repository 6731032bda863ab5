"""The sound of a film: which of its tracks, and that track as stereo at 48 kHz on the picture's clock."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import ffmpeg

from refilm.core.errors import RefilmError
from refilm.media import ffmpeg_log
from refilm.media.ffmpeg import FfmpegProcess, command_line, film_input
from refilm.media.languages import language_code
from refilm.media.probe import described_film

RATE = 48000  # samples a second, what every browser plays

# ITU-R BS.775: centre and surrounds at -3 dB into the sides, no low-frequency effects. Not normalised, as ffmpeg does it
# for integers: that puts dialogue 7.7 dB lower than in the cinema. What then is too loud, the limiter holds.
_CENTRE, _SURROUND = 0.7071, 0.7071
_SURROUND_OF_TWO_PAIRS = 0.5  # side and back surrounds together are as loud as one pair
_LIMITER_CEILING = 0.794  # -2 dBFS for what was mixed: what AAC adds to the highest peaks still fits
_EXIT_GRACE_SECONDS = 0.2  # seconds that a decoder may take to end after its last sample
_JUMP = 0.02  # seconds: a jump of the sound's clock of so much is a gap or an overlap; less is jitter


@dataclass(frozen=True)
class Track:
    """A soundtrack: its number for people (from 1), its stream for ffmpeg, and what the file says of it."""

    number: int
    stream: int
    language: str
    layout: str
    says: str
    title: str = ""

    def __str__(self) -> str:
        return f"{self.number} ({', '.join(part for part in (self.language, self.layout, self.title) if part)})"

    def rank(self) -> tuple[bool, bool, bool]:
        """Greater for what a player plays: what can be decoded, the default, and no commentary."""
        known, secondary = not ffmpeg_log.is_codec_unknown(self.says), ffmpeg_log.is_secondary_track(self.says)
        return known, ffmpeg_log.is_default(self.says), not secondary


@dataclass(frozen=True)
class Sound:
    """The sound of a stretch of a film: one track of it, from `start` seconds on the file's own clock."""

    source: str
    track: Track
    start: Fraction


def film_sound(source: str, start: Fraction, wanted: str = "auto") -> Sound | None:
    """The wanted soundtrack from `start` (seconds on the file's own clock) on, or None for silence.

    source: the film file, or '' where there is none that could sound; wanted: 'auto', a language, a number from 1, or
    'none'. Raises RefilmError, with what there is, for a track that is not there.
    """
    if not source or wanted == "none":
        return None
    track = choose_track(soundtracks(source), wanted, source)
    return None if track is None else Sound(source, track, start)


def soundtracks(path) -> list[Track]:
    """All sound of the film, in the file's order."""
    tracks: dict[int, Track] = {}
    for stream in ffmpeg_log.parse_streams(described_film(path)):
        if stream.kind == "Audio" and stream.language is not None:  # a broadcast names a stream in each of its programmes
            number = tracks[stream.index].number if stream.index in tracks else len(tracks) + 1
            language = "" if stream.language == "und" else stream.language
            title = f'"{stream.title}"' if stream.title else ""
            layout = ffmpeg_log.channel_layout(stream.description)
            tracks[stream.index] = Track(number, stream.index, language, layout, stream.description, title)
    return list(tracks.values())


def choose_track(tracks: list[Track], wanted: str, path) -> Track | None:
    """The track that is `wanted`; among several the default one, else the first; None for a silent film and 'auto'."""
    if wanted == "auto":
        fitting = tracks
    elif wanted.isdecimal():
        fitting = [track for track in tracks if track.number == int(wanted)]
    else:
        fitting = [track for track in tracks if track.language and language_code(track.language) == language_code(wanted)]
    if not fitting and wanted != "auto":
        there = f"there are: {', '.join(map(str, tracks))}" if tracks else "the film is silent"
        what = f"soundtrack {wanted}" if wanted.isdecimal() else f"soundtrack in '{wanted}'"
        raise RefilmError(f"{path}: audio: there is no {what}; {there}: set audio to one of these, to auto or to none")
    return max(fitting, key=Track.rank, default=None)


@contextmanager
def sound_pipe(sound: Sound, seconds: Fraction) -> Iterator[int]:
    """The file descriptor of a pipe out of which comes the track as PCM, mixed down, with its own times, in NUT: what of
    it begins before `seconds` from its start. A false time far ahead, as damage makes it, must not get through: what
    follows it would be counted on from there.

    Nothing in this first ffmpeg has a memory: where a broadcast goes from stereo to surround it builds its filters anew,
    and those that keep count of time would begin again at zero. They are in `synchronise_audio`, behind the pipe.
    Raises RefilmError if the sound cannot be decoded.
    """
    track = film_input(sound.source, copyts=None)[str(sound.track.stream)]
    heard = track.filter_("aselect", f"lt(t,{float(sound.start + seconds):.6f})")
    pcm = ffmpeg.output(
        heard.filter_("aresample", RATE, **_mix(sound.track.layout)), "pipe:1", format="nut", acodec="pcm_f32le"
    )
    reading, writing = os.pipe()
    with open(reading, "rb", 0), FfmpegProcess(command_line(pcm, "-v", "error"), sound.source, stdout=writing) as decoder:
        os.close(writing)
        try:
            yield reading
        finally:  # where the reader failed too, this is why
            if not decoder.running(wait_seconds=_EXIT_GRACE_SECONDS):
                _check_decoded(decoder, sound)


def _check_decoded(decoder: FfmpegProcess, sound: Sound) -> None:
    try:
        decoder.finish()
    except RefilmError as error:
        if not ffmpeg_log.is_pipe_closed(str(error)):  # a reader that needs no more of it closes the pipe
            raise RefilmError(f"{error}: soundtrack {sound.track}: set audio to another one, or to none") from error


def _mix(layout: str) -> dict:
    two_pairs = layout.startswith(("7.", "9.", "octagonal", "hexadecagonal", "22.")) and "wide" not in layout
    return {
        "ochl": "mono" if layout == "mono" else "stereo",  # a browser plays mono at its full level on both sides
        "clev": _CENTRE,
        "slev": _SURROUND_OF_TWO_PAIRS if two_pairs else _SURROUND,
        "lfe_mix_level": 0,
        "tsf": "fltp",
        "osf": "flt",
    }


def synchronise_audio(sound: Sound, pipe: int, seconds: Fraction):
    """The ffmpeg-python stream of what comes out of its `sound_pipe`, on the picture's clock, whose zero is the first
    frame: what comes before is cut, a later begin is silence, gaps are filled, and its length is the picture's."""
    start, seconds = f"{float(sound.start):.6f}", f"{float(seconds):.6f}"
    ceiling = 1 if sound.track.layout in ("mono", "stereo") else _LIMITER_CEILING
    return (
        ffmpeg.input(f"pipe:{pipe}", format="nut", copyts=None, protocol_whitelist="pipe")
        .audio.filter_("atrim", start=start)
        .filter_("asetpts", f"PTS-{start}/TB")
        .filter_("aresample", **{"async": 1, "first_pts": 0, "min_hard_comp": _JUMP})
        .filter_("alimiter", limit=ceiling, level=0, latency=1)
        .filter_("apad", whole_dur=seconds)
        .filter_("atrim", end=seconds)
    )
