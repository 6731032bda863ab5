"""The wanted soundtrack, at its loudness, in step with the video."""

import re
import subprocess
from fractions import Fraction

import numpy as np
import pytest

from refilm.core.errors import RefilmError
from refilm.media.encode import encode_video
from refilm.media.ffmpeg import executable
from refilm.media.film_file import FilmFile
from refilm.media.languages import language_code
from refilm.media.sound import choose_sound, describe_sound, film_sound, soundtracks
from tests.conftest import command, described, ffmpeg, make_film, refused
from tests.helpers import extract

SIZE = (64, 48)
LAYOUTS = {"5.1": "FL FR FC LFE BL BR", "5.1(side)": "FL FR FC LFE SL SR", "7.1": "FL FR FC LFE BL BR SL SR"}


def result(film, folder, seconds=3, start=0, audio="auto", fps=24):
    """A video of that many seconds of noise with the film's sound, as every result is made."""
    path = folder / "result.mp4"
    count = round(seconds * fps)
    frames = np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
    sound = film_sound(str(film), Fraction(start), audio)
    encode_video(path, [frames], count, SIZE, Fraction(fps), 40, sound, "result")
    return path


def samples_of(path) -> np.ndarray:
    """The soundtrack unchanged: float32 (samples, channels) at 48 kHz."""
    channels = 1 if "mono" in described(path).split("Audio:")[1] else 2
    command = [executable(), "-v", "error", "-i", str(path), "-map", "0:a:0", "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4").reshape(-1, channels)


def level(samples: np.ndarray) -> float:
    """Amplitude of the sine in the middle of the samples of one channel."""
    return float(np.sqrt(2 * np.mean(np.square(samples[len(samples) // 4 : len(samples) * 3 // 4]))))


def pitch(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * 48000 / len(samples))


def loudness(path, filters="anull") -> float:
    """Integrated loudness in LUFS by EBU R128."""
    command = [executable(), "-hide_banner", "-nostdin", "-i", str(path), "-map", "0:a:0", "-af", f"{filters},ebur128"]
    stderr = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True).stderr
    return float(re.findall(r"I: +(-[\d.]+) LUFS", stderr)[-1])


def surround(path, layout, sounding: dict[str, str], seconds=3):
    """A film with these channels, each an expression of t; the others are silent."""
    channels = "|".join(sounding.get(name, "0") for name in LAYOUTS[layout].split())
    tone = f"aevalsrc={channels}:channel_layout={layout}:sample_rate=48000:duration={seconds}"
    picture = f"testsrc2=size=64x48:rate=24:duration={seconds}"
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, "-c:v", "libx264", "-c:a", "flac", path)
    return path


@pytest.fixture(scope="module")
def languages_film(tmp_path_factory):
    """German, English (a commentary first, then the default), and one that does not say: each a tone of its own."""
    path = tmp_path_factory.mktemp("languages") / "film.mkv"
    tones = [word for n in range(4) for word in ("-f", "lavfi", "-i", f"sine={300 * (n + 1)}:duration=2")]
    tags = ["-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng", "-metadata:s:a:2", "language=eng"]
    tags += ["-metadata:s:a:1", "title=Director, (talks)", "-disposition:a:0", "0", "-disposition:a:1", "comment"]
    maps = [word for n in range(5) for word in ("-map", n)]
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x48:duration=2", *tones, *maps)
    ffmpeg(*picture, *tags, "-disposition:a:2", "default", "-c:a", "aac", path)
    return path


# --- which track


@pytest.mark.parametrize(
    ("audio", "hertz"),
    [
        ("auto", 900),
        ("eng", 900),
        ("en", 900),
        ("en-GB", 900),
        ("de", 300),
        ("deu", 300),
        ("ger", 300),
        ("2", 600),
        ("4", 1200),
    ],
)
def test_the_wanted_track_is_used(tmp_path, languages_film, audio, hertz):
    assert pitch(samples_of(result(languages_film, tmp_path, 2, audio=audio))[:, 0]) == pytest.approx(hertz, abs=2)


def test_none_is_silence_and_needs_no_film(tmp_path, languages_film):
    assert "Audio" not in described(result(languages_film, tmp_path, 1, audio="none"))
    assert film_sound("", Fraction(0)) is None and film_sound("nowhere.mkv", Fraction(0), "none") is None


@pytest.mark.parametrize(("audio", "what"), [("fra", "soundtrack in 'fra'"), ("5", "soundtrack 5"), ("0", "soundtrack 0")])
def test_an_unavailable_track_is_one_line_with_those_that_are_available(languages_film, audio, what):
    with pytest.raises(RefilmError) as error:
        film_sound(str(languages_film), Fraction(0), audio)
    there = '1 (ger, mono), 2 (eng, mono, "Director, (talks)"), 3 (eng, mono), 4 (mono)'
    assert f"there is no {what}; there are: {there}: set audio to" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_silent_film_has_no_language(tmp_path):
    film = make_film(tmp_path / "film.mp4", sound=False, seconds=1)
    assert choose_sound(FilmFile(film), "auto") is None
    with pytest.raises(RefilmError, match="no soundtrack in 'eng'; the film is silent"):
        film_sound(str(film), Fraction(0), "eng")


def test_languages_of_a_broadcast(tmp_path, languages_film):
    ffmpeg("-i", languages_film, "-map", "0", "-c:v", "mpeg2video", "-c:a", "mp2", tmp_path / "film.ts")
    tracks = soundtracks(FilmFile(tmp_path / "film.ts"))
    assert [(track.number, track.language) for track in tracks] == [(1, "ger"), (2, "eng"), (3, "eng"), (4, "")]


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
@pytest.mark.parametrize("audio", ["auto", "en", "de"])
def test_a_track_of_two_languages_is_one_of_each(tmp_path, suffix, audio):
    film = make_film(tmp_path / "film.mkv", seconds=1)
    tags = ("-metadata:s:a:0", "language=eng,ger")
    ffmpeg("-i", film, "-c:v", "mpeg2video", "-c:a", "mp2", *tags, tmp_path / f"two{suffix}")
    assert str(choose_sound(FilmFile(tmp_path / f"two{suffix}"), audio)) == "soundtrack 1 (eng,ger, mono)"


@pytest.mark.parametrize(
    ("text", "code"), [("EN", "eng"), ("ger", "deu"), ("de_AT", "deu"), ("no", "nor"), ("fre", "fra"), ("sgn", "sgn")]
)
def test_languages_have_one_spelling(text, code):
    assert language_code(text) == code


@pytest.fixture(scope="module")
def masters(tmp_path_factory):
    """Films of several soundtracks of one channel, each a sine of 0.25: 300 Hz, 600 Hz, ..."""
    folder = tmp_path_factory.mktemp("masters")
    tones = [
        word for n in range(6) for word in ("-f", "lavfi", "-i", f"aevalsrc=0.25*sin({600 * (n + 1)}*PI*t):d=2:s=48000")
    ]
    picture = ("-f", "lavfi", "-i", "testsrc2=size=192x144:rate=25:duration=2", *tones, "-map", "0")
    options = ("-c:v", "mpeg2video", "-c:a", "pcm_s16le")

    def film(name, *words, tracks=2):
        ffmpeg(*picture, *(word for n in range(tracks) for word in ("-map", n + 1)), *options, *words, folder / name)

    labels = zip(range(6), ("FL", "FR", "mono", "LFE", "BL", "BR"), strict=True)
    film("two.mxf"), film("two.mov"), film("two.mkv"), film("four.mxf", tracks=4)
    film("languages.mov", "-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng")
    film("short.mov", "-filter:a:1", "atrim=end=1")
    film("left.mov", "-filter:a:0", "pan=FL|c0=c0")
    film("5.1.mov", *(word for n, label in labels for word in (f"-filter:a:{n}", f"pan={label}|c0=c0")), tracks=6)
    return folder


@pytest.mark.parametrize(
    ("name", "audio", "hertz", "described"),
    [
        ("two.mxf", "auto", (300, 600), "soundtracks 1 (mono) + 2 (mono) as FL + FR"),
        ("two.mov", "auto", (300, 600), "soundtracks 1 (mono) + 2 (mono) as FL + FR"),
        ("two.mov", "2+1", (600, 300), "soundtracks 2 (mono) + 1 (mono) as FL + FR"),
        ("two.mov", "2", (600,), "soundtrack 2 (mono)"),
        ("four.mxf", "auto", (300, 600), "soundtracks 1 (mono) + 2 (mono) as FL + FR"),
        ("four.mxf", "3+4", (900, 1200), "soundtracks 3 (mono) + 4 (mono) as FL + FR"),
        ("two.mkv", "auto", (300,), "soundtrack 1 (mono)"),
        ("two.mkv", "1+2", (300, 600), "soundtracks 1 (mono) + 2 (mono) as FL + FR"),
        ("languages.mov", "auto", (300,), "soundtrack 1 (ger, mono)"),
        ("languages.mov", "en", (600,), "soundtrack 2 (eng, mono)"),
        ("short.mov", "auto", (300,), "soundtrack 1 (mono)"),
        ("left.mov", "auto", (300,), "soundtrack 1 (FL)"),
        ("5.1.mov", "2+1", (600, 300), "soundtracks 2 (FR) + 1 (FL) as FR + FL"),
        ("5.1.mov", "2", (600,), "soundtrack 2 (FR)"),
    ],
)
def test_tracks_of_one_channel_are_joined_at_their_level(tmp_path, masters, name, audio, hertz, described):
    film = masters / name
    if (name, audio) == ("5.1.mov", "2+1"):
        hertz = (300, 600)  # by their labels
    sides = samples_of(result(film, tmp_path, 2, audio=audio, fps=25)).T
    assert tuple(round(pitch(side)) for side in sides) == hertz and str(choose_sound(FilmFile(film), audio)) == described
    assert [level(side) for side in sides] == pytest.approx([0.25] * len(sides), abs=0.015)


def test_six_labelled_tracks_are_surround(tmp_path, masters):
    """The left side has the left one, and centre and left surround at -3 dB."""
    sides = samples_of(result(masters / "5.1.mov", tmp_path, 2, fps=25)).T[:, 24000:72000]
    spectra = [2 * np.abs(np.fft.rfft(side))[[300, 600, 900, 1200, 1500, 1800]] / 48000 for side in sides]
    assert spectra[0] == pytest.approx([0.25, 0, 0.177, 0, 0.177, 0], abs=0.01)
    assert spectra[1] == pytest.approx([0, 0.25, 0.177, 0, 0, 0.177], abs=0.01)


@pytest.mark.parametrize(
    ("name", "audio", "words"),
    [
        ("four.mxf", "1+2+3", "cannot be joined"),
        ("5.1.mov", "1+7", "there is no soundtrack 1+7"),
        ("two.mov", "1+1", "cannot be joined"),
    ],
)
def test_tracks_that_make_no_programme_are_one_line(masters, name, audio, words):
    with pytest.raises(RefilmError, match=re.escape(words)) as error:
        film_sound(str(masters / name), Fraction(0), audio)
    assert "\n" not in str(error.value) and "1 (" in str(error.value)


# --- how loud


@pytest.mark.parametrize(
    ("layout", "channel", "left", "right"),
    [
        ("5.1", "FL", 1, 0), ("5.1", "FC", 0.7071, 0.7071), ("5.1", "LFE", 0, 0), ("5.1", "BR", 0, 0.7071),
        ("5.1(side)", "SL", 0.7071, 0), ("7.1", "FC", 0.7071, 0.7071), ("7.1", "BL", 0.5, 0), ("7.1", "SR", 0, 0.5),
    ],
)  # fmt: skip
def test_surround_is_mixed_as_itu_r_bs_775_says(tmp_path, layout, channel, left, right):
    film = surround(tmp_path / "film.mkv", layout, {channel: "0.4*sin(2*PI*440*t)"})
    sound = samples_of(result(film, tmp_path))
    assert sound.shape[1] == 2
    assert [level(sound[:, 0]) / 0.4, level(sound[:, 1]) / 0.4] == pytest.approx([left, right], abs=0.01)


@pytest.mark.parametrize("layout", ["5.1", "7.1"])
def test_the_loudest_surround_does_not_clip(tmp_path, layout):
    """Every channel at full scale in phase is 7.7 dB more than a stereo track can hold."""
    everything = dict.fromkeys(LAYOUTS[layout].split(), "sin(2*PI*220*t)")
    sound = samples_of(result(surround(tmp_path / "film.mkv", layout, everything), tmp_path))
    assert 0.8 < np.abs(sound).max() < 1


@pytest.mark.parametrize("layout", ["5.1", "7.1"])
def test_dialogue_is_as_loud_as_in_the_surround(tmp_path, layout):
    film = surround(tmp_path / "film.mkv", layout, {"FC": "0.25*sin(2*PI*1000*t)"}, seconds=5)
    assert loudness(result(film, tmp_path, 5)) == pytest.approx(loudness(film), abs=0.2)


def test_mono_stays_mono_and_stereo_keeps_its_sides_at_their_level(tmp_path):
    for channels, tone in (("mono", "0.5*sin(2*PI*440*t)"), ("stereo", "0.5*sin(2*PI*440*t)|0.1*sin(2*PI*660*t)")):
        film = tmp_path / f"{channels}.mkv"
        source = f"aevalsrc={tone}:sample_rate=22050:duration=2:channel_layout={channels}"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:duration=2", "-f", "lavfi", "-i", source, "-c:a", "flac", film)
        video = result(film, tmp_path, 2)
        assert f"48000 Hz, {channels}" in described(video) and "aac" in described(video)
        levels = [level(side) for side in samples_of(video).T]
        assert levels == pytest.approx([0.5, 0.1][: len(levels)], abs=0.01)


# --- when


def test_a_broadcast_whose_clock_rolls_over_keeps_its_sound(tmp_path):
    """Its 33 bits are full after three of six seconds; a beep on every second. ffmpeg gives negative times before."""
    beeps = "aevalsrc='if(lt(mod(t,1),0.1)*gte(t,0.5),0.8*sin(2000*PI*t),0)':s=48000:d=6"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24:duration=6", "-f", "lavfi", "-i", beeps)
    offset = 2**33 / 90000 - 3
    ffmpeg(*picture, "-c:v", "mpeg2video", "-c:a", "mp2", "-muxdelay", 0, "-output_ts_offset", offset, tmp_path / "film.ts")
    frames, attributes = extract(tmp_path / "film.ts", tmp_path)
    start = Fraction(attributes["start_time"])
    assert len(frames) == 144 and float(start) == pytest.approx(-3, abs=0.1)
    sound = np.abs(samples_of(result(tmp_path / "film.ts", tmp_path, 6, start=start))[:, 0])
    loud = np.flatnonzero(sound > 0.3)
    begins = loud[np.diff(loud, prepend=-(10**6)) > 12000] / 48000
    assert begins == pytest.approx([1, 2, 3, 4, 5], abs=1 / 48)


@pytest.mark.parametrize(
    ("seconds", "start", "words"), [(2, 0, "after the picture are cut"), (2, 2, ""), (4, 2, ", silent for the last 2.0 s")]
)
def test_what_is_cut_or_silent_is_reported(tmp_path, seconds, start, words):
    film = tmp_path / "film.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:duration=6", "-f", "lavfi", "-i", "sine=440:duration=4", film)
    described = describe_sound(film_sound(film, Fraction(start)), Fraction(seconds))
    assert described.endswith(words) and described.startswith("soundtrack 1 (mono)") and bool(words) == ("," in described)


def test_a_broadcast_that_goes_from_stereo_to_surround_stays_in_step(tmp_path):
    """Two tones: stereo for three seconds, then surround. ffmpeg creates its filters again there."""
    for name, sound, offset in (
        ("one", "sine=440:sample_rate=48000:duration=3,aformat=channel_layouts=stereo", 0),
        ("two", "aevalsrc=0|0|0.5*sin(2*PI*1000*t)|0|0|0:channel_layout=5.1:sample_rate=48000:duration=3", 3),
    ):
        sources = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=3", "-f", "lavfi", "-i", sound)
        ffmpeg(*sources, "-c:v", "mpeg2video", "-c:a", "ac3", "-output_ts_offset", offset, tmp_path / f"{name}.ts")
    film = tmp_path / "both.ts"
    film.write_bytes((tmp_path / "one.ts").read_bytes() + (tmp_path / "two.ts").read_bytes())
    sound = samples_of(result(film, tmp_path, 6, start="1.4", fps=25))[:, 0]
    assert len(sound) / 48000 == pytest.approx(6, abs=0.03)
    pitches = [pitch(sound[round(k * 4800) : round((k + 1) * 4800)]) for k in range(60)]
    assert [round(hertz, -2) for hertz in pitches[:30]] == [400] * 30 and [round(hertz, -2) for hertz in pitches[31:59]] == [
        1000
    ] * 28


def test_a_gap_in_the_sound_is_silence_of_its_length(tmp_path):
    """Packets of 0.06 s were lost: what follows is not early."""
    beeps = "aevalsrc='if(lt(mod(t,1),0.1),0.8*sin(2*PI*1000*t),0)':sample_rate=48000:duration=6"
    whole, film = tmp_path / "whole.mkv", tmp_path / "film.mkv"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=64x48:duration=6",
        "-f",
        "lavfi",
        "-i",
        beeps,
        "-c:a",
        "mp2",
        "-b:a",
        "192k",
        whole,
    )
    lost = "noise=drop=gt(pts*tb\\,2.5)*lt(pts*tb\\,2.56)+gt(pts*tb\\,4.5)*lt(pts*tb\\,4.56)"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:a", lost, film)
    sound = np.abs(samples_of(result(film, tmp_path, 6))[:, 0])
    loud = np.flatnonzero(sound > 0.3)
    begins = loud[np.diff(loud, prepend=-(10**6)) > 12000] / 48000
    assert len(begins) == 6 and np.abs(begins - np.arange(6)).max() < 1 / 24


@pytest.mark.parametrize(("start", "silent"), [(1.5, 0.5), (2.5, 0)])
def test_a_part_of_a_film_in_which_or_before_which_the_sound_ends(tmp_path, start, silent):
    """The sound of this film lasts two seconds, its picture five."""
    film = tmp_path / "film.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:duration=5", "-f", "lavfi", "-i", "sine=440:duration=2", film)
    sound = samples_of(result(film, tmp_path, 2, start=start))[:, 0]
    assert len(sound) / 48000 == pytest.approx(2, abs=0.03)
    assert np.abs(sound[round(48000 * silent) + 2400 :]).max() < 0.01
    assert silent == 0 or np.abs(sound[: round(48000 * silent)]).max() > 0.1


def test_sound_that_cannot_be_decoded_is_one_line_and_no_result(tmp_path):
    """A track of a codec that ffmpeg does not know: no result without it, and a way out."""
    film = tmp_path / "film.mkv"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=64x48:duration=2",
        "-f",
        "lavfi",
        "-i",
        "sine=440:duration=2",
        "-c:a",
        "flac",
        film,
    )
    film.write_bytes(film.read_bytes().replace(b"A_FLAC", b"A_FLOC"))
    with pytest.raises(RefilmError, match="set audio to another one, or to none") as error:
        result(film, tmp_path, 2)
    assert "\n" not in str(error.value) and not list(tmp_path.glob("*.mp4")) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("samples", [False, True])
def test_undecodable_sound_is_found_before_the_training(tmp_path, samples):
    """A codec that ffmpeg does not know, and samples that it cannot decode."""
    whole, film = tmp_path / "whole.mkv", tmp_path / "film.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:duration=2", "-f", "lavfi", "-i", "sine=440:d=2", "-c:a", "ac3", whole)
    ffmpeg("-i", whole, "-c", "copy", *(("-bsf:a", "noise=amount=1") if samples else ()), film)
    film.write_bytes(film.read_bytes().replace(b"A_AC3", b"A_AC3" if samples else b"A_XYZ"))
    done = command("extract_frames", f"--source={film}", f"--frames={tmp_path / 'film.h5'}", "--size=64x48")
    line = refused(done)
    assert "soundtrack 1 (mono) cannot be decoded: set audio to another one, or to none" in line
    assert not list(tmp_path.glob("*.h5")) and len(extract(film, tmp_path, audio="none")[0]) == 50


def test_a_false_time_of_one_packet_costs_no_more_than_that_packet(tmp_path):
    """In Matroska a block's time is two bytes; damage puts one 28 seconds ahead of a film of 6."""
    film = make_film(tmp_path / "film.mkv", seconds=6, codec=("-c:v", "libx264", "-c:a", "aac"))
    content = film.read_bytes()
    blocks = list(re.finditer(rb"\xa3(?:[\x81-\xfe]|[\x40-\x7f].)\x82(..)\x80", content, re.DOTALL))
    place = blocks[len(blocks) // 3].start(1)
    film.write_bytes(content[:place] + b"\x70\x00" + content[place + 2 :])
    samples = samples_of(result(film, tmp_path, seconds=6))[:, 0]
    seconds = np.sqrt(np.mean(np.square(samples[: 6 * 48000].reshape(6, -1)), axis=1))
    assert len(blocks) > 100 and seconds.min() > 0.8 * seconds.max() > 0
