"""Walks through latents, against what closed forms and plain arrays give."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from refilm.core.curves import parse_curve
from refilm.core.errors import RefilmError
from refilm.frames.walks import (
    Backwards,
    Closed,
    Directions,
    Film,
    Mixed,
    Paced,
    Smoothed,
    Spherical,
    ThereAndBack,
    Through,
    linear,
    way_over,
)
from refilm.models.nearest import nearest_frames

DIM = 20


def latents(count: int, seed: int = 0) -> np.ndarray:
    """Latents of a film: a random walk of standard normal numbers that are alike in neighbouring frames."""
    noise = np.random.default_rng(seed).standard_normal((count + 40, DIM))
    return np.stack([noise[n : n + 40].sum(0) / 40**0.5 for n in range(count)]).astype(np.float32)


def standard(dim: int = DIM) -> Spherical:
    return Spherical(np.zeros(dim), np.ones(dim))


def steps_of(walk) -> np.ndarray:
    """Distance of each frame of a closed walk from the one before it; the first is that of the seam."""
    points = walk[:]
    return np.linalg.norm(points - np.roll(points, 1, 0), axis=1)


def assert_seam_is_like_its_neighbours(walk, around: int = 24) -> None:
    """The step over the seam lies within 95 % of those around it, or within a hundredth of that where they rise towards
    it from both sides evenly; and none of them is 0: no frame is doubled."""
    steps = steps_of(walk)
    near = np.concatenate([steps[-around:], steps[1 : around + 1]])
    assert np.quantile(near, 0.025) * 0.99 <= steps[0] <= np.quantile(near, 0.975) * 1.01
    assert steps.min() > 0


def test_any_frames_are_those_of_the_whole():
    """In any order, with wraps and repeats, as decoding and loops read them."""
    z = latents(60)
    film = Film(z, 5, 50)
    walks = [
        film,
        Smoothed(film, 2.5),
        Paced(film, Fraction(3, 7), standard()),
        Backwards(film),
        ThereAndBack(film),
        Closed(film, 20, standard()),
        Mixed(film, Film(z), lambda frames: frames / 50, standard()),
        Through([0, 3.5, 30], z[[0, 9, 4]], 31, standard()),
    ]
    for walk in walks:
        whole = walk[:]
        assert len(whole) == len(walk) and whole.dtype == np.float32
        for chosen in ([len(walk) - 1, 0, 1], [3, 3, 2], list(range(10, 20))):
            assert np.abs(walk.at(np.array(chosen)) - whole[chosen]).max() < 2e-6


def test_a_read_takes_no_more_rows_than_it_needs():
    """So that a feature film in a loop is never in memory as a whole."""

    class Counted:
        most = 0

        def __len__(self):
            return 170_000

        def __getitem__(self, rows):
            Counted.most = max(Counted.most, rows.stop - rows.start)
            return np.zeros((rows.stop - rows.start, 2), np.float32)

    film = Closed(Paced(Smoothed(Film(Counted()), 24), Fraction(1, 4), standard(2)), 96, standard(2))
    film[len(film) - 32 : len(film)]
    film.at(np.array([len(film) - 1, 0]))
    assert Counted.most < 300


# --- numbers of frames, pace and direction


@pytest.mark.parametrize(
    ("frames", "step", "count"),
    [(25, "1", 25), (25, "1/2", 49), (25, "2", 13), (24, "2", 12), (25, "1001/1000", 24), (1, "3", 1)],
)
def test_a_paced_walk_is_the_interpolation_of_numpy(frames, step, count):
    z, step = latents(frames), Fraction(step)
    walk = Paced(Film(z), step, linear)
    assert len(walk) == count
    places = np.arange(count) * float(step)
    expected = np.stack([np.interp(places, np.arange(frames), z[:, k]) for k in range(DIM)], axis=1)
    assert np.abs(walk[:] - expected).max() < 1e-5


def test_at_its_own_pace_a_film_is_untouched():
    z = latents(30)
    assert np.array_equal(Paced(Film(z, 3, 20), Fraction(1), standard())[:], z[3:23])


def test_smoothing_is_a_gaussian_mean_of_the_frames_that_are_there():
    z, deviation = latents(40), 3.0
    expected = np.empty_like(z)
    for n in range(40):
        weights = np.exp(-0.5 * ((np.arange(40) - n) / deviation) ** 2) * (abs(np.arange(40) - n) <= 12)
        expected[n] = weights @ z / weights.sum()
    assert np.abs(Smoothed(Film(z), deviation)[:] - expected).max() < 1e-5


def test_backwards_and_there_and_back():
    z = latents(6)
    assert np.array_equal(Backwards(Film(z))[:], z[::-1])
    assert np.array_equal(ThereAndBack(Film(z))[:], z[[0, 1, 2, 3, 4, 5, 4, 3, 2, 1]])
    assert np.array_equal(ThereAndBack(Film(z[:2]))[:], z[:2]) and np.array_equal(ThereAndBack(Film(z[:1]))[:], z[:1])


# --- loops


@pytest.mark.parametrize("blend", [1, 12, 50])
def test_the_end_of_a_film_is_blended_into_its_beginning(blend):
    z = latents(100)
    walk = Closed(Film(z), blend, standard())
    found = walk[:]
    assert len(found) == 100 - blend
    assert np.array_equal(found[blend:], z[blend : 100 - blend])  # the middle is the film
    assert np.array_equal(found[0], z[100 - blend])  # the frame after the last one that is left
    if blend >= 12:
        assert_seam_is_like_its_neighbours(walk)


def test_a_slowed_and_smoothed_loop_has_no_seam():
    slow = Paced(Smoothed(Film(latents(120)), 4), Fraction(1, 4), standard())
    assert_seam_is_like_its_neighbours(Closed(slow, 96, standard()))
    assert_seam_is_like_its_neighbours(ThereAndBack(slow))


@pytest.mark.parametrize("between", [linear, standard()])
def test_moments_closed_are_a_loop(between):
    points = np.random.default_rng(3).standard_normal((4, 200)).astype(np.float32)
    space = standard(200) if between is not linear else linear
    walk = Through([0, 24, 48, 72, 96], np.concatenate([points, points[:1]]), 96, space)
    assert np.array_equal(walk.at(np.array([0, 24, 48, 72])), points)
    assert_seam_is_like_its_neighbours(walk)


# --- spherical


def test_between_unrelated_latents_the_distance_from_the_mean_stays():
    """On a straight line it falls to 1/sqrt(2) half-way."""
    random = np.random.default_rng(1)
    mean, deviation = random.standard_normal(200) * 30, random.uniform(0.01, 20, 200)
    one, other = (mean + deviation * random.standard_normal((500, 200)) for _ in range(2))
    half = np.full(500, 0.5)
    space = Spherical(mean, deviation)
    curved, straight = (
        np.linalg.norm((between(one, other, half) - mean) / deviation, axis=1) for between in (space, linear)
    )
    assert curved.mean() == pytest.approx(200**0.5, rel=0.01) and straight.mean() == pytest.approx(10, rel=0.02)
    middle = (space(one, other, half) - mean) / deviation
    assert middle.std(0).mean() == pytest.approx(1, abs=0.02)  # of each number: a draw of the same distribution


def test_spherical_interpolation_turns_evenly_and_meets_its_ends():
    """A quarter turn from a distance of 2 to one of 4, in standard deviations from the mean."""
    mean, deviation = np.array([7.0, -1, 3]), np.array([2.0, 0.5, 1])
    one, other = (np.tile((mean + deviation * point).astype(np.float32), (5, 1)) for point in ([2, 0, 0], [0, 4, 0]))
    shares = np.linspace(0, 1, 5)
    found = Spherical(mean, deviation)(one, other, shares)
    turned = [((2 + 2 * s) * np.cos(s * np.pi / 2), (2 + 2 * s) * np.sin(s * np.pi / 2), 0) for s in shares]
    assert np.abs(found - (mean + deviation * turned)).max() < 1e-5
    assert np.array_equal(found[[0, -1]], np.stack([one[0], other[0]]))


def test_where_there_is_no_direction_the_way_is_straight():
    a = np.ones((3, 4), np.float32)
    b = np.stack([-a[0], 0 * a[0], a[0] * (1 + 1e-7)])  # opposite, at the mean, the same
    found = standard(4)(a, b, np.full(3, 0.25))
    assert np.abs(found - (0.75 * a + 0.25 * b)).max() < 1e-6


def test_the_statistics_are_those_of_all_latents():
    z = latents(50000, 4) * 7 + 100
    space, own = Spherical.of([z[:20000], z[20000:]]), Spherical(z.mean(0, np.float64), z.std(0, dtype=np.float64))
    a, b, share = z[:9], z[9:18], np.linspace(0, 1, 9)
    assert np.abs(space(a, b, share) - own(a, b, share)).max() < 1e-3


def test_a_mixture_follows_its_curve():
    a, b, curve = latents(48), latents(60, 1), parse_curve("0 at 0:01, 1 at 0:02", "mix")
    walk = Mixed(Film(a), Film(b), lambda frames: np.array([curve.at(n / 24) for n in frames]), linear)
    share = np.clip(np.arange(48) / 24 - 1, 0, 1)[:, None]
    assert len(walk) == 48 and np.abs(walk[:] - ((1 - share) * a + share * b[:48])).max() < 1e-6


# --- nearest


@pytest.mark.parametrize("offset", [0, 1000])
def test_the_nearest_is_that_of_a_plain_search(monkeypatch, offset):
    """In several blocks, also far from the origin, where products of float32 do not tell neighbours apart."""
    monkeypatch.setattr("refilm.models.nearest._BLOCK", 100)
    monkeypatch.setattr("refilm.models.nearest._QUERIES", 64)
    random = np.random.default_rng(0)
    film, queries = ((random.standard_normal((n, 200)) + offset).astype(np.float32) for n in (730, 150))
    film[500] = film[100]  # of equal ones the first
    queries[:2] = film[100], film[729]
    answered = []
    frames, distances = nearest_frames(queries, film, torch.device("cpu"), answered.append)
    plain = np.stack([np.linalg.norm(film.astype(float) - query, axis=1) for query in queries.astype(float)])
    assert np.array_equal(frames, plain.argmin(1)) and np.allclose(distances, plain.min(1), rtol=1e-6, atol=1e-6)
    assert list(frames[:2]) == [100, 729] and answered == [64, 64, 22]


def test_directions_do_not_depend_on_the_distance_from_the_mean():
    z = latents(10)
    space = Spherical(np.full(DIM, 0.5), np.full(DIM, 3))
    found = Directions(z, space)[2:5]
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    assert np.allclose(found, Directions(0.5 + 7 * (z - 0.5), space)[2:5], atol=1e-6)


def test_a_way_leads_over_points_that_lie_near_each_other():
    """Around three quarters of a circle of points instead of across its gap, though that is shorter."""
    angles = np.linspace(0, 1.5 * np.pi, 10)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert way_over(circle, 0, 9) == list(range(10))
    assert way_over(circle[::-1], 9, 0) == list(range(9, -1, -1))
    assert way_over(circle[::3], 0, 3) == [0, 3]  # of steps as long as the gap


# --- curves


def test_a_curve_is_straight_between_its_points():
    curve = parse_curve("2 at 0:01, -1.5 at 4, 3 at 00:00:05", "x")
    times = np.linspace(0, 8, 81)
    assert np.allclose([curve.at(t) for t in times], np.interp(times, [1, 4, 5], [2, -1.5, 3]))
    assert curve.limits == (-1.5, 3)
    assert [parse_curve(text, "x").at(9) for text in (0.25, "-3", "7 at 2")] == [0.25, -3, 7]


def test_a_drift_is_smooth_within_its_limits_and_the_same_for_a_seed():
    curve = parse_curve("drift -20 to 20 every 2", "x")
    values = np.array([curve.at(n / 24, "a") for n in range(24 * 200)])
    assert values.min() >= -20 and values.max() <= 20 and values.min() < -15 and values.max() > 15
    assert abs(values.mean()) < 3 and np.abs(np.diff(values)).max() < 40 * 1.5 / 48 * 1.01  # the steepest part of the cubic
    assert np.abs(np.diff(values, 2)).max() < 0.3
    assert curve.at(79 / 24, "a") == values[79] != curve.at(79 / 24, "b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("up", "k: 'up' is not a valid curve: write a number, '0 at 0:00, 1 at 0:10' or 'drift 0 to 1 every 4'"),
        ("1 at 2, 3 at 2", "each point must be later"),
        ("1 at noon", "k: 'noon' is not a valid time"),
        ("drift 0 to 1 every 0", "a time above 0"),
        ("nan", "not a valid curve"),
    ],
)
def test_another_text_is_one_line(text, words):
    with pytest.raises(RefilmError, match=words):
        parse_curve(text, "k")
