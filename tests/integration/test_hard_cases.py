"""The hard cases of docs/films.md, which lie in the folder `hardcases` beside REFILM_TEST_FILMS."""

import re

import numpy as np
import pytest

from refilm.frames.store import FrameStore
from refilm.media.bars import Box
from tests.conftest import ROOT, command, refused
from tests.helpers import probe

# file: frames, frames/s, picture as shown, its part inside the bars
FILMS = {
    "hdr_pq_8bit_h264_cosmos_laundromat_50s.mp4": (1205, "24", (640, 268), None),
    "letterboxed_ass_subs_sintel.mkv": (652, "25", (848, 480), Box(0, 58, 848, 362)),
    "made_interlaced_pal_anamorphic.ts": (300, "25", (720, 576), None),
    "made_odd853x481_444_two_audio.mkv": (240, "24", (853, 481), None),
    "made_vfr_noaudio.mp4": (288, "24", (1280, 720), None),
    "made_windowboxed_10bit.mkv": (144, "24", (960, 540), Box(160, 90, 640, 360)),
    "mpeg1_ps_sintel.mpg": (480, "24", (854, 480), Box(0, 56, 854, 368)),
    "multi_stream_2v2a2s_nasa.mp4": (390, "30000/1001", (480, 270), None),
    "phone_android.mp4": (46, "30", (1920, 1080), None),
    "rotated_displaymatrix_bbb.mp4": (45, "24", (1080, 1920), None),
}
REFUSED = {
    "made_audio_only.m4a": "this file has no video, only sound",
    "made_empty_zero_bytes.mp4": r"the file is empty \(0 bytes\)",
    "made_truncated_no_moov.mp4": "its index, which such files have at their end, is missing",
    "made_truncated_faststart.mp4": r"of the 20.1 s that its header declares 15.0 s are there: .*'damaged: use'",
    "made_bitflips.ts": r"of 273 frames 1\d\d are intact .*'damaged: use'",
}
USED = {"made_truncated_faststart.mp4": 361, "made_bitflips.ts": 273}


def extract(film, folder, *words) -> tuple[int, str]:
    done = command("extract_frames", f"--source={film}", f"--frames={folder / 'x.h5'}", "--size=64x48", *words)
    assert done.returncode == 0, done.stderr
    with FrameStore(folder / "x.h5") as store:
        assert np.ptp(store[len(store) // 2]) > 30  # a picture
        return len(store), store.attributes["fps"]


@pytest.mark.parametrize("name", FILMS)
def test_hard_cases_give_all_their_frames_in_their_display_shape(tmp_path, hard_cases, name):
    frames, fps, size, box = FILMS[name]
    video = probe(hard_cases / name)
    assert (video.width, video.height) == size
    assert video.box == (box or Box(0, 0, *size))
    assert extract(hard_cases / name, tmp_path) == (frames, fps)


@pytest.mark.parametrize("name", REFUSED)
def test_hard_cases_that_are_not_films_or_damaged_are_refused_in_one_line(tmp_path, hard_cases, name):
    done = command("extract_frames", f"--source={hard_cases / name}", f"--frames={tmp_path / 'x.h5'}", "--size=64x48")
    assert re.search(REFUSED[name], refused(done))
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize("name", USED)
def test_damaged_hard_cases_can_be_used(tmp_path, hard_cases, name):
    assert extract(hard_cases / name, tmp_path, "--damaged=use") == (USED[name], "24")


def test_the_manual_lists_every_hard_case():
    manual = (ROOT / "docs" / "films.md").read_text()
    assert [name for name in (*FILMS, *REFUSED) if f"`{name}`" not in manual] == []


def test_every_hard_case_is_tested(hard_cases):
    assert {path.name for path in hard_cases.iterdir() if path.suffix != ".tsv"} == {*FILMS, *REFUSED}
