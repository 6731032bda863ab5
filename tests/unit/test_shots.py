"""Shots: where a film cuts, what only looks like a cut, and what is held out."""

import json
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from refilm.frames.metadata import FrameMetadata
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore, write_frames_from
from refilm.training.sampler import hold_out_shots
from tests.conftest import ROOT, command
from tests.helpers import done

RANDOM = np.random.default_rng(7)


def shot(count: int, contrast: float = 60.0, speed: int = 2) -> np.ndarray:
    """A scene of broad random patches through which the camera pans, with grain."""
    patches = np.kron(RANDOM.normal(128, contrast, (8, 16 + count * speed // 24 + 2, 3)), np.ones((12, 24, 1)))
    views = np.stack([patches[:96, n * speed : n * speed + 128] for n in range(count)])
    return np.clip(views + RANDOM.normal(0, 4, views.shape), 0, 255).astype(np.uint8)


def faded(frames: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Fading in over `begin` frames and out over `end`."""
    strength = np.ones(len(frames))
    strength[:begin] = np.linspace(0, 1, begin, endpoint=False)
    strength[len(frames) - end :] = np.linspace(1, 0, end, endpoint=False)
    return (frames * strength[:, None, None, None]).astype(np.uint8)


def starts(tmp_path, frames: np.ndarray) -> list[int]:
    """The first frame of every shot found; checks that the shots are the film without a gap."""
    count, height, width, _ = frames.shape
    write_frames_from(tmp_path / "f.h5", width, height, FrameMetadata(Fraction(24)), [frames])
    with FrameStore(tmp_path / "f.h5") as store:
        shots = find_shots(store)
        assert shots == find_shots(store)
    assert [number for one in shots for number in one] == list(range(count))
    return [one.start for one in shots]


def test_every_cut_is_found_to_the_frame(tmp_path):
    lengths = [40, 5, 90, 12, 64, 33, 7, 130]
    film = np.concatenate([shot(n, contrast=contrast) for n, contrast in zip(lengths, [60, 60, 15] * 3, strict=False)])
    assert starts(tmp_path, film) == [0, *np.cumsum(lengths)[:-1]]


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(tmp_path, length):
    film = shot(120)
    film[40 : 40 + length] = 250
    film[90 : 90 + length] = film[90 : 90 + length] // 8
    assert starts(tmp_path, film) == [0]


def test_fast_motion_and_a_change_of_light_are_no_cuts(tmp_path):
    assert starts(tmp_path, shot(80, speed=20)) == [0]
    light = 0.55 + 0.45 * np.sin(np.arange(100) / 3)[:, None, None, None]
    assert starts(tmp_path, (shot(100) * light).astype(np.uint8)) == [0]


def test_a_fade_through_black_is_one_cut_in_the_black(tmp_path):
    black = np.zeros((11, 96, 128, 3), np.uint8)
    film = np.concatenate([faded(shot(60), 12, 12), black, faded(shot(60), 12, 12)])
    first, second = starts(tmp_path, film)
    assert first == 0 and 60 <= second <= 71


def test_a_cut_that_ends_a_rapid_movement_is_found(tmp_path):
    """The camera turns faster and faster, and the shot after it is still."""
    ways = np.concatenate([np.zeros(40, int), 20 * np.arange(1, 8) ** 2 // 2])
    wide = np.kron(RANDOM.normal(128, 60, (8, 80, 3)), np.ones((12, 24, 1)))
    turning = np.stack([wide[:, way : way + 128] for way in ways]).clip(0, 255).astype(np.uint8)
    still = shot(40, speed=0)
    assert starts(tmp_path, np.concatenate([turning, still])) == [0, 47]
    assert starts(tmp_path, np.concatenate([still, turning[::-1]])) == [0, 40]


def test_a_frame_of_both_shots_makes_no_second_cut(tmp_path):
    first, second = shot(50, speed=0), shot(50, speed=0)
    blended = ((first[-1:].astype(int) + second[:1]) // 2).astype(np.uint8)
    for between in (blended, shot(1)):
        assert starts(tmp_path, np.concatenate([first, between, second])) in ([0, 50], [0, 51])


def test_an_iris_into_black_is_one_cut(tmp_path):
    """The last frame is a spot of the picture; out of the black after it the next shot fades in."""
    closing = shot(60)
    rows, columns = np.mgrid[:96, :128]
    closing[-1][np.hypot(rows - 48, columns - 64) > 8] = 0
    black = np.zeros((8, 96, 128, 3), np.uint8)
    cuts = starts(tmp_path, np.concatenate([closing, black, faded(shot(60), 14, 0)]))
    assert len(cuts) == 2 and 59 <= cuts[1] <= 68


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_shortest_films_are_one_shot(tmp_path, count):
    assert starts(tmp_path, shot(count)) == [0]


def test_a_black_film_is_one_shot(tmp_path):
    assert starts(tmp_path, np.zeros((70, 96, 128, 3), np.uint8)) == [0]


REEL = "reel_live_action_pd_ccby.mp4"


@pytest.mark.parametrize(
    ("film", "cuts"),
    [
        ("cosmos_laundromat_clip_sdr_640x268.mp4", [20, 143, 208, 259, 318, 644, 761, 913, 1188]),
        (REEL, json.loads((ROOT / "benchmarks/shots.json").read_text())[REEL]["cuts"]),
    ],
)
def test_the_cuts_of_a_real_film(tmp_path, real_films, film, cuts):
    """As read off its frames by eye."""
    done(command("extract_frames", f"--source={real_films / film}", f"--frames={tmp_path / 'f.h5'}", "--size=256x144"))
    with FrameStore(tmp_path / "f.h5") as store:
        assert [one.start for one in find_shots(store)] == [0, *cuts]


def test_the_list_of_shots_has_their_times_brightness_and_motion(tmp_path):
    dark, flicker = (np.repeat(shot(1).clip(20, level), count, axis=0) for level, count in ((120, 40), (240, 25)))
    flicker[1::2] += 5
    film, frames, table = np.concatenate([dark, flicker]), tmp_path / "f.h5", tmp_path / "shots.csv"
    write_frames_from(frames, 128, 96, FrameMetadata(Fraction(24000, 1001)), [film])
    assert "2 shots of 1.04 to 1.67 s" in done(command("list_shots", f"--frames={frames}", f"--shots={table}"))
    rows = pd.read_csv(table)
    assert rows["shot"].tolist() == [1, 2] and rows["first_frame"].tolist() == [0, 40]
    assert rows["frames"].tolist() == [40, 25] and rows["motion"].tolist() == [0, 5]
    assert rows["start"].tolist() == pytest.approx([0, 40 * 1001 / 24000], abs=1e-4)
    assert rows["end"].tolist() == pytest.approx([40 * 1001 / 24000, 65 * 1001 / 24000], abs=1e-4)
    assert rows["length"].tolist() == pytest.approx([40 * 1001 / 24000, 25 * 1001 / 24000], abs=1e-4)
    levels = [one.mean(axis=(0, 1, 2)) @ [0.2126, 0.7152, 0.0722] for one in (dark, flicker)]
    assert rows["luma"].tolist() == pytest.approx(levels, abs=1e-3)


def test_a_film_of_one_frame_has_no_motion(tmp_path):
    write_frames_from(tmp_path / "f.h5", 128, 96, FrameMetadata(Fraction(24)), [shot(1)])
    done(command("list_shots", f"--frames={tmp_path / 'f.h5'}", f"--shots={tmp_path / 's.csv'}"))
    (row,) = pd.read_csv(tmp_path / "s.csv").to_dict("records")
    assert row["frames"] == 1 and np.isnan(row["motion"])


def film_of(*lengths: int) -> list[range]:
    ends = np.cumsum(lengths)
    return [range(int(end - length), int(end)) for end, length in zip(ends, lengths, strict=True)]


def test_whole_shots_are_held_out_near_to_the_share():
    shots = film_of(*np.random.default_rng(1).integers(10, 300, 150).tolist())
    total = shots[-1].stop
    for share in (0.02, 0.1, 0.3):
        held = hold_out_shots(shots, share, seed=3)
        assert abs(len(held) - share * total) <= 20 and np.array_equal(held, np.unique(held))
        chosen = set(held.tolist())
        assert all(set(one) <= chosen or not chosen & set(one) for one in shots)
        assert np.array_equal(held, hold_out_shots(shots, share, seed=3))
        assert not np.array_equal(held, hold_out_shots(shots, share, seed=4))


def test_a_film_is_never_held_out_whole():
    assert len(hold_out_shots(film_of(500), 0.1, 0)) == 0 == len(hold_out_shots(film_of(500), 0.9, 0))
    assert len(hold_out_shots(film_of(100, 500), 0.1, 0)) == 100  # 100 of 600 is nearer to 60 than none
    assert len(hold_out_shots(film_of(200, 500), 0.1, 0)) == 0
    assert len(hold_out_shots(film_of(30, 30, 30), 0.0, 0)) == 0
