"""Picture and sound of the result within a frame of each other, at the start, in the middle and at the end."""

from fractions import Fraction

import pytest

from tests.conftest import ffmpeg
from tests.helpers import flash_and_beep, onsets, through

SECONDS = 31  # flashes at 1, 6, ..., 26 s


def late(folder, fps, offset="1.3", suffix=".mkv"):
    film = flash_and_beep(folder / "film.mkv", SECONDS, fps)
    ffmpeg("-i", film, "-c", "copy", "-output_ts_offset", offset, folder / f"late{suffix}")
    return folder / f"late{suffix}"


def variable(folder, fps):
    """A third of the frames in its first and last ten seconds, all of them between, beginning late."""
    film = flash_and_beep(folder / "film.mkv", SECONDS, fps)
    keep = "select='between(t,10,20)+not(mod(n,3))'"
    ffmpeg("-i", film, "-vf", keep, "-fps_mode", "vfr", "-c:a", "copy", "-output_ts_offset", "0.7", folder / "variable.mkv")
    return folder / "variable.mkv"


def interlaced(folder, fps):
    """PAL: 50 fields a second, in a transport stream."""
    film = flash_and_beep(folder / "film.mkv", SECONDS, 2 * Fraction(fps))
    fields = ("-vf", "tinterlace=interleave_top,setfield=tff", "-flags", "+ildct+ilme")
    ffmpeg("-i", film, *fields, "-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2", folder / "pal.ts")
    return folder / "pal.ts"


def skipped(folder, fps):
    """An edit list: the file begins at a key frame, and says to begin later."""
    film = flash_and_beep(folder / "film.mp4", SECONDS + 5, fps)
    ffmpeg("-ss", "5", "-i", film, "-c", "copy", folder / "skipped.mp4")
    return folder / "skipped.mp4"


@pytest.mark.parametrize(
    ("make", "fps", "result"),
    [
        (late, "24000/1001", "24000/1001"),
        (late, "30000/1001", "30000/1001"),
        (variable, "24", "24"),
        (variable, "30000/1001", "30000/1001"),
        (interlaced, "25", "25"),
        (skipped, "30000/1001", "30000/1001"),
    ],
)
def test_picture_and_sound_stay_together_whatever_the_clock(tmp_path, grey_model, make, fps, result):
    video = through(make(tmp_path, fps), tmp_path, grey_model)
    rate = Fraction(result)
    flashes, beeps = onsets(video, rate)
    assert len(flashes) == len(beeps) == 6
    for moment, flash, beep in zip(range(1, SECONDS, 5), flashes, beeps, strict=True):
        step = 3 if make is variable and not 10 <= moment <= 20 else 1
        later = step * -(-moment * rate // step) / rate - moment  # the film's own flash is on its next frame
        assert -1 / rate <= flash - beep <= later + 1 / rate, moment


def test_each_field_as_a_frame_stays_in_step(tmp_path, grey_model):
    video = through(interlaced(tmp_path, "25"), tmp_path, grey_model, "--deinterlace=fields")
    flashes, beeps = onsets(video, 50)
    assert len(flashes) == len(beeps) == 6
    assert max(abs(flash - beep) for flash, beep in zip(flashes, beeps, strict=True)) <= 1 / 25


def test_a_damaged_recording_that_is_used_has_its_pictures_at_their_times(tmp_path, grey_model):
    """Of its second ten seconds much is broken: where the picture can be read again, it is where it was."""
    flash_and_beep(tmp_path / "film.mkv", SECONDS, "24")
    film = tmp_path / "film.ts"
    ffmpeg("-i", tmp_path / "film.mkv", "-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2", film)
    content = bytearray(film.read_bytes())
    for place in range(len(content) * 2 // 5, len(content) * 3 // 5, 997):
        content[place] ^= 0x55
    film.write_bytes(content)
    video = through(film, tmp_path, grey_model, "--damaged=use")
    flashes, _ = onsets(video, 24)
    assert all(min(abs(flash - moment) for flash in flashes) <= 1 / 24 for moment in (1, 6, 26))
