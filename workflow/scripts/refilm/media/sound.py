"""The sound of a film: which of its soundtracks, and those as stereo at 48 kHz on the clock of the video."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import ffmpeg
from ffmpeg.nodes import FilterableStream

from refilm.core.errors import RefilmError
from refilm.media import ffmpeg_log
from refilm.media.ffmpeg import FfmpegProcess, command_line, run_ffmpeg
from refilm.media.film_file import FilmFile
from refilm.media.languages import language_code

SAMPLE_RATE = 48000  # Hz, which every browser plays

# ITU-R BS.775: centre and surrounds at -3 dB into the sides, no low-frequency effects. Not normalised, as ffmpeg does it
# for integers: that puts dialogue 7.7 dB lower than in the cinema. What is then too loud, the limiter holds down.
_CENTRE, _SURROUND = 0.7071, 0.7071
_SURROUND_OF_TWO_PAIRS = 0.5  # side and back surrounds together are as loud as one pair
_LIMITER_CEILING = 0.794  # -2 dBFS after a downmix: what AAC adds to the highest peaks still fits
_EXIT_GRACE_SECONDS = 0.2  # that a decoder may take to end after its last sample
# Gaps are silence, and overlaps are cut; by less than 0.02 s the clock of the sound only jitters.
_SYNCHRONOUS = {"async": 1, "first_pts": 0, "min_hard_comp": 0.02}
# Tracks of one channel are joined in this order, which is ffmpeg's own; so many without labels have these layouts.
_CHANNELS = ("FL", "FR", "FC", "LFE", "BL", "BR", "BC", "SL", "SR")
_LAYOUTS = {2: ("FL", "FR"), 6: _CHANNELS[:6], 8: (*_CHANNELS[:6], "SL", "SR")}
_TAIL_SECONDS = 10  # of a file in which the end of its soundtracks is looked for
_EQUAL_SECONDS = Fraction(1, 10)  # by which the ends of picture and sound, or of two tracks, may differ
_REMEDY = "set audio to another one, or to none"


@dataclass(frozen=True)
class Track:
    """A soundtrack.

    number: from 1, for people; stream: ffmpeg's index; language: its tag, several separated by commas, '' without one;
    layout: of its channels; description, title: what the file says of it; with_picture: it is of the programme that the
    picture is of.
    """

    number: int
    stream: int
    language: str
    layout: str
    description: str
    title: str = ""
    with_picture: bool = True

    def __str__(self) -> str:
        title = self.title and f'"{self.title}"'
        return f"{self.number} ({', '.join(part for part in (self.language, self.layout, title) if part)})"

    @property
    def channel(self) -> str:
        """The label of its only channel, which is FC for mono; '' where it has several."""
        return "FC" if self.layout == "mono" else self.layout if self.layout in _CHANNELS else ""

    def matches(self, wanted: str) -> bool:
        """Whether it is in the language `wanted`, or any will do."""
        return wanted == "auto" or language_code(wanted) in map(language_code, filter(None, self.language.split(",")))

    def rank(self) -> tuple[bool, ...]:
        """Greater for a track that a player prefers: one that can be decoded, of the same programme as the picture, the
        default one, not a commentary."""
        decodable = not ffmpeg_log.is_codec_unknown(self.description)
        primary = not ffmpeg_log.is_secondary_track(self.description)
        return decodable, self.with_picture, ffmpeg_log.is_default(self.description), primary


@dataclass(frozen=True)
class Sound:
    """The sound of a film from `start` seconds on the file's own clock: one track, or some of one channel each, which are
    joined as `channels`; the whole file as many `times` in a row; after `seconds` there is silence, where that is given."""

    film: FilmFile
    tracks: tuple[Track, ...]
    channels: tuple[str, ...]
    start: Fraction
    times: int = 1
    seconds: Fraction | None = None

    def __str__(self) -> str:
        joined = f" as {' + '.join(self.channels)}" if len(self.tracks) > 1 else ""
        return f"soundtrack{'s' * bool(joined)} {' + '.join(map(str, self.tracks))}{joined}"

    @property
    def language(self) -> str:
        """The language of its first track in three letters; 'und' where it has none."""
        return language_code(self.tracks[0].language or "und")

    @property
    def layout(self) -> str:
        """The channel layout, as ffmpeg names it."""
        return "+".join(sorted(self.channels, key=_CHANNELS.index)) or self.tracks[0].layout

    @property
    def mono(self) -> bool:
        """Whether it has one channel, which a browser plays at its full level on both sides."""
        return self.layout in ("mono", "FC")


def film_sound(source: Path | str, start: Fraction, wanted: str = "auto") -> Sound | None:
    """As `choose_sound`, of a film file, or None where `source` is ''."""
    return choose_sound(FilmFile(source), wanted, start) if source else None


def soundtracks(film: FilmFile) -> list[Track]:
    """All soundtracks of a film, in the order of the file."""
    tracks: dict[int, Track] = {}
    programs = {stream.index: set[int]() for stream in film.streams}
    for stream in film.streams:
        programs[stream.index].add(stream.program)
    of_picture = programs[film.video_stream.index] if set.union(*programs.values()) != {0} else {0}
    for stream in film.streams:
        if stream.kind == "Audio":
            # A broadcast lists a stream in each of its programmes.
            number = tracks[stream.index].number if stream.index in tracks else len(tracks) + 1
            language = "" if stream.language == "und" else stream.language
            layout = ffmpeg_log.channel_layout(stream.description)
            with_picture = bool(programs[stream.index] & of_picture)
            tracks[stream.index] = Track(
                number, stream.index, language, layout, stream.description, stream.title, with_picture
            )
    return list(tracks.values())


def choose_sound(film: FilmFile, wanted: str, start: Fraction = Fraction(0)) -> Sound | None:
    """The wanted sound from `start` (seconds on the file's own clock) on, or None for silence; among several soundtracks
    the one that a player prefers.

    wanted: 'auto', a language, the number of a track from 1, such numbers as '1+2', or 'none'. Raises RefilmError, with the
    tracks that are available, for one that is not.
    """
    if wanted == "none":
        return None
    tracks = {str(track.number): track for track in soundtracks(film)}
    names = wanted.split("+")
    numbered = names[0].isdecimal()
    if numbered and set(names) <= tracks.keys():
        return _joined(film, [tracks[name] for name in names], start)
    groups = [] if numbered else [group for group in _groups(film, [*tracks.values()]) if group[0].matches(wanted)]
    if groups:
        return _joined(film, max(groups, key=lambda group: group[0].rank()), start)
    if wanted == "auto":
        return None
    available = f"there are: {', '.join(map(str, tracks.values()))}" if tracks else "the film is silent"
    name = f"soundtrack {wanted}" if numbered else f"soundtrack in '{wanted}'"
    raise RefilmError(f"{film.path}: audio: there is no {name}; {available}: set audio to one of these, to auto or to none")


def _joined(film: FilmFile, tracks: Sequence[Track], start: Fraction) -> Sound:
    """The sound of these tracks, joined by their labels, or by their order where they have none."""
    labels = tuple(track.channel for track in tracks)
    if len(tracks) == 1:
        return Sound(film, tuple(tracks), ("FC",) if labels[0] not in ("", "FC") else (), start)  # one side is heard on both
    if len({*labels}) < len(labels) or not {"FL", "FR"} <= {*labels}:
        labels = _LAYOUTS.get(len(labels), ()) if all(labels) else ()
    if not labels or len({*tracks}) < len(tracks):
        raise RefilmError(
            f"{film.path}: audio: {' + '.join(map(str, tracks))} cannot be joined: name tracks of one channel: two (left + "
            "right), six or eight (left + right + centre + low frequencies + surrounds)"
        )
    return Sound(film, tuple(tracks), labels, start)


def _groups(film: FilmFile, tracks: list[Track]) -> list[list[Track]]:
    """The tracks; those of one channel that belong together are one group: by their labels, or in the containers of masters
    (MXF, QuickTime) the first two of several without any, where they are equally long."""
    kinds = {(track.layout, track.language, ffmpeg_log.is_secondary_track(track.description)) for track in tracks}
    if len(tracks) > 1 and len(kinds) == 1 and tracks[0].layout == "mono":
        is_master = film.container == "mxf" or ffmpeg_log.is_quicktime(film.log)
        left, right = (_end(film, [track]) for track in tracks[:2]) if is_master else (None, None)
        if left and right and abs(left - right) < _EQUAL_SECONDS:
            return [tracks[:2], *([track] for track in tracks[2:])]
    groups: list[list[Track]] = []
    for track in tracks:
        last = groups[-1] if groups else [track]
        others = {other.channel for other in last}
        if "FL" in others and track.channel not in {"", *others} and track.language == last[0].language:
            last.append(track)
        else:
            groups.append([track])
    whole = [len(group) == 1 or "FR" in {track.channel for track in group} for group in groups]
    return [
        part for group, joins in zip(groups, whole, strict=True) for part in ([group] if joins else [[t] for t in group])
    ]


def _end(film: FilmFile, tracks: Sequence[Track]) -> Fraction | None:
    """Seconds on the file's clock at which the last packet of the tracks ends; None if none is near the end of the file."""
    try:
        span = film.packet_span(*(str(track.stream) for track in tracks), sseof=-_TAIL_SECONDS)
    except RefilmError:  # of a damaged film
        return None
    return span[1] if span else None


def repeat_sound(sound: Sound, period: Fraction, seconds: Fraction, folder: Path) -> Sound:
    """The first `period` seconds of a sound, again and again for `seconds`; as it is where one time is enough.

    One time, which is silent where the soundtrack ends before, is written into the folder: 0.4 MB a second.
    """
    times = math.ceil(seconds / period)
    if times <= 1:
        return sound
    file = folder / "sound.w64"  # a WAV file ends at 4 GB
    with sound_pipe(sound, period) as pipe:
        stream = synchronise_audio(sound, pipe, period)
        output = ffmpeg.output(stream, f"file:{file}", format="w64", acodec="pcm_f32le", ar=SAMPLE_RATE)
        with FfmpegProcess(command_line(output, "-v", "error"), sound.film.path, pass_fds=[pipe]) as process:
            process.finish()
    once = FilmFile(file)
    tracks = tuple(replace(track, language=sound.language) for track in soundtracks(once))
    return Sound(once, tracks, (), Fraction(0), times)


def check_decodable(sound: Sound) -> None:
    """Raises RefilmError if nothing of a soundtrack can be decoded: it decodes the first samples."""
    for track in sound.tracks:
        source = sound.film.input(max_error_rate=1)[str(track.stream)]
        command = command_line(ffmpeg.output(source, "pipe:1", format="framecrc", **{"frames:a": 1}), "-v", "error")
        try:
            if ffmpeg_log.is_codec_unknown(track.description):
                raise RefilmError(f"{sound.film.path}: ffmpeg does not know its codec")
            decoded, log = run_ffmpeg(command, sound.film.path)
            if log and ffmpeg_log.framecrc_span(decoded.encode().splitlines()) is None:
                raise RefilmError(f"{sound.film.path}: {ffmpeg_log.summarise_stderr(log)}")
        except RefilmError as error:
            raise RefilmError(f"{error}: soundtrack {track} cannot be decoded: {_REMEDY}") from error


def describe_sound(sound: Sound | None, seconds: Fraction) -> str:
    """Which sound a video of so many seconds has, and what of it is cut or missing at the end."""
    if sound is None:
        return "silent"
    end = _end(sound.film, sound.tracks)
    longer = 0 if end is None else end - sound.start - seconds
    if longer > _EQUAL_SECONDS:
        return f"{sound}, of which the {float(longer):.1f} s after the picture are cut"
    return str(sound) + (f", silent for the last {float(-longer):.1f} s" if longer < -_EQUAL_SECONDS else "")


@contextmanager
def sound_pipe(sound: Sound, seconds: Fraction) -> Iterator[int]:
    """The file descriptor of a pipe that delivers the sound as PCM, mixed down, with its times on the clock of the video,
    whose zero is the first frame, in NUT, which has no times before that.

    Only samples before `seconds` pass: a false time far ahead, as damage makes it, would delay all that follows it. The
    filters of this first ffmpeg keep no state: where a broadcast changes from stereo to surround it creates them again, and
    those that count time would restart at zero. They are in `synchronise_audio`, behind the pipe. Tracks of one channel do
    not change, and are joined in step. Raises RefilmError if the sound cannot be decoded.
    """
    seconds = seconds if sound.seconds is None else min(seconds, sound.seconds)
    again = {"stream_loop": sound.times - 1} if sound.times > 1 else {}
    source, start, end = sound.film.input(copyts=None, **again), f"{float(sound.start):.6f}", f"{float(seconds):.6f}"
    parts = [source[str(track.stream)].filter_("atrim", start=start) for track in sound.tracks]
    parts = [part.filter_("asetpts", f"PTS-({start})/TB").filter_("aselect", f"lt(t,{end})") for part in parts]
    if sound.channels:
        parts = [part.filter_("aresample", SAMPLE_RATE, **_SYNCHRONOUS).filter_("apad", whole_dur=end) for part in parts]
        places = "|".join(f"{number}.0-{channel}" for number, channel in enumerate(sound.channels))
        parts = [ffmpeg.filter_(parts, "join", inputs=len(parts), channel_layout=sound.layout, map=places)]
    mixed = parts[0].filter_("aresample", SAMPLE_RATE, **_downmix_options(sound))
    mixed = mixed.filter_("apad", pad_len=1)  # where the sound has ended before, since nothing at all is not a NUT file
    command = command_line(ffmpeg.output(mixed, "pipe:1", format="nut", acodec="pcm_f32le"), "-v", "error")
    reading, writing = os.pipe()
    with open(reading, "rb", 0), FfmpegProcess(command, sound.film.path, stdout=writing) as decoder:
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
            raise RefilmError(f"{error}: {sound}: {_REMEDY}") from error


def _downmix_options(sound: Sound) -> dict[str, str | float]:
    """Options of `aresample` that mix a channel layout down to stereo, or keep mono."""
    two_pairs = sound.layout.startswith(("7.", "9.", "octagonal", "hexadecagonal", "22.")) and "wide" not in sound.layout
    return {
        "ochl": "mono" if sound.mono else "stereo",
        "clev": _CENTRE,
        "slev": _SURROUND_OF_TWO_PAIRS if two_pairs or {"BL", "SL"} <= {*sound.channels} else _SURROUND,
        "lfe_mix_level": 0,
        "tsf": "fltp",
        "osf": "flt",
    }


def synchronise_audio(sound: Sound, pipe: int, seconds: Fraction) -> FilterableStream:
    """The ffmpeg-python stream of the sound from its `sound_pipe`: gaps and a late start are silence, and it lasts as long
    as the video, `seconds`."""
    end = f"{float(seconds):.6f}"
    ceiling = 1 if sound.mono or sound.layout in ("stereo", "FL+FR") else _LIMITER_CEILING
    return (
        ffmpeg.input(f"pipe:{pipe}", format="nut", copyts=None, protocol_whitelist="pipe")
        .audio.filter_("aresample", **_SYNCHRONOUS)
        .filter_("alimiter", limit=ceiling, level=0, latency=1)
        .filter_("apad", whole_dur=end)
        .filter_("atrim", end=end)
    )
