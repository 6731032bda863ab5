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
from refilm.media.sound import choose_sound, film_sound, soundtracks
from tests.conftest import described, ffmpeg, make_film

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
