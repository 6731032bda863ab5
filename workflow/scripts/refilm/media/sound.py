"""The sound of a film: which of its soundtracks, and those as stereo at 48 kHz on the clock of the video."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg
from ffmpeg.nodes import FilterableStream

from refilm.core.errors import RefilmError
from refilm.media import ffmpeg_log
from refilm.media.ffmpeg import FfmpegProcess, command_line, film_input, run_ffmpeg
from refilm.media.film_file import FilmFile
from refilm.media.languages import language_code

SAMPLE_RATE = 48000  # Hz, which every browser plays

# ITU-R BS.775: centre and surrounds at -3 dB into the sides, no low-frequency effects. Not normalised, as ffmpeg does it
# for integers: that puts dialogue 7.7 dB lower than in the cinema. What is then too loud, the limiter holds down.
_CENTRE, _SURROUND = 0.7071, 0.7071
_SURROUND_OF_TWO_PAIRS = 0.5  # side and back surrounds together are as loud as one pair
_LIMITER_CEILING = 0.794  # -2 dBFS after a downmix: what AAC adds to the highest peaks still fits
_EXIT_GRACE_SECONDS = 0.2  # that a decoder may take to end after its last sample
# Gaps are filled, and what comes before the video is cut; by less than 0.02 s the clock of the sound jitters.
_SYNCHRONOUS = {"async": 1, "first_pts": 0, "min_hard_comp": 0.02}
# Tracks of one channel are joined in this order, which is ffmpeg's own; so many without labels have these layouts.
_CHANNELS = ("FL", "FR", "FC", "LFE", "BL", "BR", "BC", "SL", "SR")
_LAYOUTS = {2: ("FL", "FR"), 6: _CHANNELS[:6], 8: (*_CHANNELS[:6], "SL", "SR")}
_TAIL_SECONDS = 10  # of a file in which the end of its soundtracks is looked for
_EQUAL_SECONDS = Fraction(1, 10)  # by which the ends of picture and sound, or of two tracks, may differ


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

    @property
    def channel(self) -> str:
        """The label of its only channel, which is FC for mono; '' where it has several."""
        return "FC" if self.layout == "mono" else self.layout if self.layout in _CHANNELS else ""

    def rank(self) -> tuple[bool, bool, bool]:
        """Greater for a track that a player prefers: one that can be decoded, the default one, not a commentary."""
        decodable = not ffmpeg_log.is_codec_unknown(self.description)
        primary = not ffmpeg_log.is_secondary_track(self.description)
        return decodable, ffmpeg_log.is_default(self.description), primary


@dataclass(frozen=True)
class Programme:
    """What is heard: one track, or some of one channel each, which are joined as `channels`."""

    tracks: tuple[Track, ...]
    channels: tuple[str, ...] = ()

    def __str__(self) -> str:
        if len(self.tracks) == 1:
            return f"soundtrack {self.tracks[0]}"
        return f"soundtracks {' + '.join(map(str, self.tracks))} as {' + '.join(self.channels)}"

    @property
    def language(self) -> str:
        """Its language in three letters; 'und' where it has none or several."""
        return language_code(self.tracks[0].language) if re.fullmatch(r"[\w-]+", self.tracks[0].language) else "und"

    @property
    def layout(self) -> str:
        """The channel layout, as ffmpeg names it."""
        return "+".join(sorted(self.channels, key=_CHANNELS.index)) or self.tracks[0].layout


@dataclass(frozen=True)
class Sound:
    """The sound of a part of a film, from `start` seconds on the file's own clock."""

    source: str
    programme: Programme
    start: Fraction


def film_sound(source: Path | str, start: Fraction, wanted: str = "auto") -> Sound | None:
    """The wanted sound from `start` (seconds on the file's own clock) on, or None for silence.

    source: the film file, or '' where there is none with sound; wanted: as for `choose_sound`.
    Raises RefilmError, with the tracks that are available, for one that is not.
    """
    if not source:
        return None
    programme = choose_sound(FilmFile(source), wanted)
    return None if programme is None else Sound(str(source), programme, start)


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


def choose_sound(film: FilmFile, wanted: str) -> Programme | None:
    """The wanted soundtrack, or None for silence; among several the one that a player prefers.

    wanted: 'auto', a language, the number of a track from 1, numbers of tracks of one channel as '1+2', or 'none'. Raises
    RefilmError for one that is not available.
    """
    if wanted == "none":
        return None
    tracks = soundtracks(film)
    numbers = [int(number) for number in wanted.split("+")] if wanted[0].isdecimal() else []
    named = {track.number: track for track in tracks if track.number in numbers}
    if numbers and len(named) == len(numbers):
        return _joined(film, [named[number] for number in numbers])
    matching = [] if numbers else [each for each in _programmes(film, tracks) if _matches(each.tracks[0], wanted)]
    if not matching and wanted != "auto":
        available = f"there are: {', '.join(map(str, tracks))}" if tracks else "the film is silent"
        name = f"soundtrack {wanted}" if numbers else f"soundtrack in '{wanted}'"
        raise RefilmError(
            f"{film.path}: audio: there is no {name}; {available}: set audio to one of these, to auto or to none"
        )
    return max(matching, key=lambda programme: programme.tracks[0].rank(), default=None)


def _matches(track: Track, wanted: str) -> bool:
    return wanted == "auto" or language_code(wanted) in map(language_code, filter(None, track.language.split(",")))


def _joined(film: FilmFile, tracks: Sequence[Track]) -> Programme:
    """The tracks as one programme, by their labels, or by their order where they have none."""
    if len(tracks) == 1:
        return Programme(tuple(tracks), ("FC",) if tracks[0].channel not in ("", "FC") else ())  # one side is heard on both
    labels = tuple(track.channel for track in tracks)
    if not {"FL", "FR"} <= set(labels) or len(set(labels)) < len(labels):
        labels = _LAYOUTS.get(len(labels), ()) if all(labels) else ()
    if not labels:
        raise RefilmError(
            f"{film.path}: audio: {' + '.join(map(str, tracks))} cannot be joined: name tracks of one channel: two (left + "
            "right), six or eight (left + right + centre + low frequencies + surrounds)"
        )
    return Programme(tuple(tracks), labels)


def _programmes(film: FilmFile, tracks: list[Track]) -> list[Programme]:
    """The tracks, of which those of one channel that belong together are joined: by their labels, or in the containers of
    masters (MXF, QuickTime) the first two of several without any, where they are equally long."""
    groups: list[list[Track]] = []
    for track in (track for track in tracks if track.channel):
        last = groups[-1] if groups else []
        if last and last[0].language == track.language and track.channel not in [other.channel for other in last]:
            last.append(track)
        else:
            groups.append([track])
    joined = [group for group in groups if {"FL", "FR"} <= {track.channel for track in group}]
    unlabelled = len(tracks) > 1 and {(track.layout, track.language) for track in tracks} == {("mono", tracks[0].language)}
    if unlabelled and (film.container == "mxf" or ffmpeg_log.is_quicktime(film.log)):
        left, right = (_end(film, [track]) for track in tracks[:2])
        if left and right and abs(left - right) < _EQUAL_SECONDS:
            joined = [tracks[:2]]
    others = [[track] for track in tracks if not any(track in group for group in joined)]
    return [_joined(film, group) for group in sorted([*joined, *others], key=lambda group: group[0].number)]


def _end(film: FilmFile, tracks: Sequence[Track]) -> Fraction | None:
    """Seconds on the file's clock at which the last packet of the tracks ends; None if none is near the end of the file."""
    source = film.input(copyts=None, sseof=-_TAIL_SECONDS)
    output = ffmpeg.output(*(source[str(track.stream)] for track in tracks), "pipe:1", c="copy", format="framecrc")
    try:
        text = run_ffmpeg(command_line(output, "-v", "error"), film.path)[0]
    except RefilmError:  # of a damaged film
        return None
    packets = ffmpeg_log.framecrc_packets(text.encode().splitlines())
    return max((packet.tick * (packet.time + packet.duration) for packet in packets), default=None)


def check_decodable(film: FilmFile, programme: Programme | None) -> None:
    """Raises RefilmError if nothing of a soundtrack can be decoded: it decodes the first samples."""
    for track in programme.tracks if programme else ():
        if ffmpeg_log.is_codec_unknown(track.description):
            raise _undecodable(f"{film.path}: ffmpeg does not know its codec", track)
        source = film.input(max_error_rate=1)[str(track.stream)]
        command = command_line(ffmpeg.output(source, "pipe:1", format="framecrc", **{"frames:a": 1}), "-v", "error")
        try:
            decoded, log = run_ffmpeg(command, film.path)
        except RefilmError as error:
            raise _undecodable(str(error), track) from error
        if log and not any(ffmpeg_log.framecrc_packets(decoded.encode().splitlines())):
            raise _undecodable(f"{film.path}: {ffmpeg_log.summarise_stderr(log)}", track)


def _undecodable(reason: str, track: Track) -> RefilmError:
    return RefilmError(f"{reason}: soundtrack {track} cannot be decoded: set audio to another one, or to none")


def describe_sound(sound: Sound | None, seconds: Fraction) -> str:
    """Which sound a video of so many seconds has, and what of it is cut or missing at the end."""
    if sound is None:
        return "silent"
    end = _end(FilmFile(sound.source), sound.programme.tracks)
    longer = Fraction(0) if end is None else end - sound.start - seconds
    if longer > _EQUAL_SECONDS:
        return f"{sound.programme}, of which the {float(longer):.1f} s after the picture are cut"
    return (
        f"{sound.programme}, silent for the last {float(-longer):.1f} s"
        if longer < -_EQUAL_SECONDS
        else str(sound.programme)
    )


@contextmanager
def sound_pipe(sound: Sound, seconds: Fraction) -> Iterator[int]:
    """The file descriptor of a pipe that delivers the sound as PCM, mixed down, with its own times, in NUT.

    Its times are those of the video, whose zero is the first frame: NUT has no times before that. Only samples before
    `seconds` pass: a false time far ahead, as damage makes it, would delay all that follows it. The filters of this first
    ffmpeg keep no state: where a broadcast changes from stereo to surround it creates them again, and those that count
    time would restart at zero. These are in `synchronise_audio`, behind the pipe, or behind tracks of one channel.
    Raises RefilmError if the sound cannot be decoded.
    """
    programme, start = sound.programme, f"{float(sound.start):.6f}"
    source = film_input(sound.source, copyts=None)
    tracks = []
    for track in programme.tracks:
        part = source[str(track.stream)].filter_("atrim", start=start).filter_("asetpts", f"PTS-({start})/TB")
        tracks.append(part.filter_("aselect", f"lt(t,{float(seconds):.6f})"))
    if programme.channels:
        tracks = [_one_channel(track, seconds) for track in tracks]
        places = "|".join(f"{number}.0-{channel}" for number, channel in enumerate(programme.channels))
        tracks = [ffmpeg.filter_(tracks, "join", inputs=len(tracks), channel_layout=programme.layout, map=places)]
    mixed = tracks[0].filter_("aresample", SAMPLE_RATE, **_downmix_options(programme))
    mixed = mixed.filter_("apad", pad_len=1)  # where the sound has ended before, since nothing at all is not a NUT file
    command = command_line(ffmpeg.output(mixed, "pipe:1", format="nut", acodec="pcm_f32le"), "-v", "error")
    reading, writing = os.pipe()
    with open(reading, "rb", 0), FfmpegProcess(command, sound.source, stdout=writing) as decoder:
        os.close(writing)
        try:
            yield reading
        finally:  # if the reader failed too, this is the cause
            if not decoder.running(wait_seconds=_EXIT_GRACE_SECONDS):
                _check_decoded(decoder, sound)


def _one_channel(track: FilterableStream, seconds: Fraction) -> FilterableStream:
    """A track of one channel that begins with the video and lasts as long, so that others can be joined to it."""
    timed = track.filter_("aresample", SAMPLE_RATE, **_SYNCHRONOUS)
    return timed.filter_("apad", whole_dur=f"{float(seconds):.6f}")


def _check_decoded(decoder: FfmpegProcess, sound: Sound) -> None:
    try:
        decoder.finish()
    except RefilmError as error:
        if not ffmpeg_log.is_pipe_closed(str(error)):  # a reader that needs no more of it closes the pipe
            raise RefilmError(f"{error}: {sound.programme}: set audio to another one, or to none") from error


def _downmix_options(programme: Programme) -> dict[str, str | float]:
    """Options of `aresample` that mix a channel layout down to stereo, or keep mono."""
    layout = programme.layout
    two_pairs = layout.startswith(("7.", "9.", "octagonal", "hexadecagonal", "22.")) and "wide" not in layout
    two_pairs = two_pairs or {"BL", "SL"} <= set(programme.channels)
    return {
        "ochl": "mono" if layout in ("mono", "FC") else "stereo",  # a browser plays mono at its full level on both sides
        "clev": _CENTRE,
        "slev": _SURROUND_OF_TWO_PAIRS if two_pairs else _SURROUND,
        "lfe_mix_level": 0,
        "tsf": "fltp",
        "osf": "flt",
    }


def synchronise_audio(sound: Sound, pipe: int, seconds: Fraction) -> FilterableStream:
    """The ffmpeg-python stream of the sound from its `sound_pipe`: gaps and a late start are silence, and it lasts as long
    as the video, `seconds`."""
    end = f"{float(seconds):.6f}"
    ceiling = 1 if sound.programme.layout in ("mono", "FC", "stereo", "FL+FR") else _LIMITER_CEILING
    return (
        ffmpeg.input(f"pipe:{pipe}", format="nut", copyts=None, protocol_whitelist="pipe")
        .audio.filter_("aresample", **_SYNCHRONOUS)
        .filter_("alimiter", limit=ceiling, level=0, latency=1)
        .filter_("apad", whole_dur=end)
        .filter_("atrim", end=end)
    )
