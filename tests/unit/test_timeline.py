"""What follows from the times of decoded frames: the rate, the places of frames, and lines about clocks that are wrong."""

from fractions import Fraction

import numpy as np
import pytest

from refilm.core.errors import RefilmError
from refilm.media.ffmpeg_log import NO_TIME
from refilm.media.frame_rate import frame_rate
from refilm.media.timeline import DecodedTimes, Timeline, make_timeline


def timeline(times, tick=Fraction(1, 1000), header=Fraction(24), last_duration=0) -> Timeline:
    decoded = DecodedTimes()
    decoded.tick = tick
    for time in times:
        decoded.add(time, 0)
    decoded.times.pop()
    decoded.add(times[-1], last_duration)
    return make_timeline(decoded, header, "film.mkv")


def test_a_picture_is_shown_as_long_as_the_file_says():
    """A GIF of one second, six times a tenth, and two seconds: 10 + 6 + 20 frames at 10."""
    film = timeline([0, *range(100, 161, 10)], Fraction(1, 100), Fraction(10), last_duration=200)
    assert (film.fps, film.constant, film.frames) == (10, False, 36)
    assert film.frames_shown(0, 36).tolist() == [0] * 10 + [1, 2, 3, 4, 5, 6] + [7] * 20


def test_six_slides_of_five_seconds():
    film = timeline(range(21, 30_000, 5000), header=Fraction(1, 5), last_duration=5000)
    assert (film.fps, film.constant, film.frames) == (Fraction(1, 5), True, 6)


@pytest.mark.parametrize(
    ("starts", "end", "fps"),
    [([0, 3, 8, 12, 19, 22, 24.5, 31], 35, 2), ([0, 2, 9, 11, 13, 20, 22], 25, 1), ([0, 10, 65], 85, Fraction(1, 5))],
)
def test_slides_of_different_lengths_are_shown_when_the_film_shows_them(starts, end, fps):
    film = timeline([int(1000 * start) for start in starts], last_duration=int(1000 * (end - starts[-1])))
    assert (film.fps, film.frames) == (fps, end * fps)
    shown = film.frames_shown(0, film.frames).tolist()
    assert [shown.index(n) / fps for n in range(len(starts))] == starts


def test_slides_that_fit_no_rate_are_not_a_tenth_of_a_second_away():
    starts = [0, 3.217, 8.9, 12.04, 19.55]
    film = timeline([round(1000 * start) for start in starts], header=Fraction(1, 4), last_duration=4321)
    shown = film.frames_shown(0, film.frames).tolist()
    assert max(abs(shown.index(n) / film.fps - start) for n, start in enumerate(starts)) <= 0.1
    assert abs(film.frames / film.fps - (19.55 + 4.321)) <= 0.1


@pytest.mark.parametrize(
    ("seconds", "header"), [(180, Fraction(1, 100)), (7, Fraction(1, 100)), (Fraction(1, 24), Fraction(48))]
)
def test_one_picture_is_one_frame_as_long_as_it_is_shown(seconds, header):
    film = timeline([0], Fraction(1, 90_000), header, last_duration=int(90_000 * seconds))
    assert (film.frames, 1 / film.fps) == (1, seconds)


def test_one_frame_has_the_rate_of_the_header_that_its_rounded_duration_means():
    assert timeline([0], header=Fraction(24), last_duration=42).fps == 24


@pytest.mark.parametrize(("fps", "stated"), [(24, 1000), (24, 83), (50, 40)])
def test_a_stated_duration_of_all_frames_that_is_longer_than_they_are_is_not_the_last_one(fps, stated):
    decoded = DecodedTimes()
    decoded.tick = Fraction(1, 1000)
    for n in range(48):
        decoded.add(round(1000 * n / fps), stated)
    assert make_timeline(decoded, Fraction(fps), "film.mkv").frames == 48


RATES = [24, 25, 30, 50, 60, *(Fraction(n * 1000, 1001) for n in (24, 30, 60))]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("missing", [{300}, {300, *range(100, 160)}])
@pytest.mark.parametrize("header", [Fraction(30), Fraction("59.9")])
def test_times_that_were_rounded_to_milliseconds_on_a_finer_clock_give_the_rate(fps, missing, header):
    """As of a recording in Matroska or FLV with a frame that was dropped, copied to MP4."""
    numbers = [n for n in range(600) if n not in missing]
    film = timeline([90 * round(1000 * n / fps) for n in numbers], Fraction(1, 90_000), header)
    assert (film.fps, film.frames) == (fps, 600)
    assert sorted({*film.frames_shown(0, 600).tolist()}) == list(range(len(numbers)))


@pytest.mark.parametrize("fps", [15, Fraction(24_000, 1001), 30])
@pytest.mark.parametrize("tick", [Fraction(1, 1000), Fraction(1, 90_000)])
def test_a_short_film_in_which_one_frame_is_missing_has_its_own_rate(fps, tick):
    numbers = [*range(13), *range(14, 26)]
    film = timeline([round(n / fps / tick) for n in numbers], tick, Fraction("22.9"))
    assert film.frames == 26 and abs(film.fps / fps - 1) < 0.0011  # so few frames do not tell 24 from 23.976
    assert film.frames_shown(0, 26).tolist() == [*range(13), 12, *range(13, 25)]


@pytest.mark.parametrize("fps", [Fraction("17.5"), Fraction("13.37")])
def test_a_rate_of_no_standard_is_kept_on_a_coarse_clock(fps):
    film = timeline([round(100 * n / fps) for n in range(200)], Fraction(1, 100), fps)
    assert film.constant and film.frames == 200 and abs(film.fps / fps - 1) < 0.001


@pytest.mark.parametrize("milliseconds", [0.2, 1, 3, 4, 5])
def test_frames_that_are_early_or_late_give_the_rate(milliseconds):
    """A phone that halves its rate in the dark, and a recorder that leaves frames out."""
    chance = np.random.default_rng(1)
    for numbers in ([*range(60), *range(60, 120, 2), *range(120, 180)], [0, *np.flatnonzero(chance.random(300) > 0.03)[1:]]):
        shaken = 3000 * np.array(numbers) + 90 * chance.uniform(-milliseconds, milliseconds, len(numbers))
        shaken[0] = 0
        film = timeline(np.rint(shaken).astype(int).tolist(), Fraction(1, 90_000), Fraction("27.3"))
        assert (film.fps, film.frames) == (30, numbers[-1] + 1)
        assert film.frames_shown(0, film.frames).tolist() == [
            int(np.searchsorted(numbers, n, "right")) - 1 for n in range(film.frames)
        ]


@pytest.mark.parametrize("fps", [15, 24, 25, 30, 48, 50, 60])
@pytest.mark.parametrize("middle", [[2] * 5, [13], [2]])
def test_a_short_film_of_shaken_frames_has_its_rate(fps, middle):
    """Each frame is up to a seventh of its time early or late, and in the middle some are shown for longer."""
    shown = [1] * 13 + middle + [1] * 13
    starts = np.cumsum([0, *shown[:-1]])
    shaken = starts + np.sin(2.4 * np.arange(len(starts))) / 7
    film = timeline([round(90_000 * start / fps) for start in shaken], Fraction(1, 90_000), Fraction("11.9"))
    assert film.frames_shown(0, film.frames).tolist() == [n for n, count in enumerate(shown) for _ in range(count)]


@pytest.mark.parametrize("slow", [24, 25])
@pytest.mark.parametrize("rounding", [1, 90])
def test_of_two_rates_the_faster_one_loses_no_frame(slow, rounding):
    """Exact on a clock of 90 kHz, and copied to it from one of milliseconds."""
    times = [*(90_000 * n / slow for n in range(100)), *(90_000 * (100 / slow + n / 30) for n in range(50))]
    film = timeline([rounding * round(time / rounding) for time in times], Fraction(1, 90_000), Fraction(26))
    assert film.fps == 30 and len({*film.frames_shown(0, film.frames).tolist()}) == 150


def test_frames_half_way_between_two_places_lose_no_other():
    """Three fields, two fields, and so on, then 29.97 frames/s, in ticks of 1/90,000 s."""
    fields = [0, *np.cumsum([3, 2] * 24)]
    film = timeline([round(1501.5 * n) for n in [*fields, *range(122, 240, 2)]], Fraction(1, 90_000), Fraction(30_000, 1001))
    assert film.fps == Fraction(30_000, 1001)
    assert len({*film.frames_shown(0, film.frames).tolist()}) == len(film.ticks)


@pytest.mark.parametrize("moved", [{21: 20.48}, {20: 20.6}])
def test_two_frames_nearest_to_one_place_have_the_empty_one_beside_it(moved):
    """After it, where a frame is missing, and before it. The film has 30 frames/s, and one is held."""
    numbers = [n for n in range(300) if n not in range(40, 60) and not (n == 22 and 21 in moved)]
    film = timeline([round(3000 * moved.get(n, n)) for n in numbers], Fraction(1, 90_000), Fraction(30))
    assert (film.fps, film.constant) == (30, False)
    assert sorted({*film.frames_shown(0, film.frames).tolist()}) == list(range(len(numbers)))


@pytest.mark.parametrize("fps", [24, 25, 30, 48, 60])
def test_a_clock_that_ticks_once_a_frame_gives_the_exact_rate(fps):
    assert frame_rate(range(48), Fraction(1, fps), Fraction(25)) == (fps, True)


def test_durations_that_are_rounded_one_by_one_give_the_rate_that_they_mean():
    """APNG counts in ticks of 1/100,000 s: each frame of a film of 48 frames/s has 2,083 of them."""
    assert frame_rate(np.arange(96) * 2083, Fraction(1, 100_000), Fraction(48)) == (48, True)


def test_times_out_of_order_or_unknown_lie_between_their_neighbours():
    times = [round(1000 * n / 24) for n in range(96)]
    wrong = list(times)
    wrong[10], wrong[11] = wrong[11], wrong[10]
    wrong[40], wrong[41], wrong[70] = NO_TIME, NO_TIME, 900_000
    film = timeline(wrong)
    assert (film.fps, film.constant) == (24, True) and np.abs(film.ticks - times).max() <= 42


@pytest.mark.parametrize("first", [40, 92])
def test_no_frame_is_lost_where_a_few_repeat_the_times_of_others(first):
    """An intra frame and the next two of an MPEG program stream, in its middle and at its end, that have come two frames too
    early."""
    times = [n * 3600 for n in range(95)]
    wrong = [*times[:first], *times[first - 2 : first + 1], *times[first + 3 :]]
    film = timeline(wrong, Fraction(1, 90_000), Fraction(25), last_duration=3600)
    assert (film.fps, film.constant, film.frames) == (25, True, 95)
    assert film.ticks.tolist() == times and film.frames_shown(0, 95).tolist() == list(range(95))


def test_frames_at_the_same_time_are_one_after_the_other_where_the_next_ones_leave_room():
    times = [n * 40 for n in range(50)]
    film = timeline([*times[:20], times[19], *times[21:]], header=Fraction(25))
    assert film.constant and film.ticks.tolist() == times


def test_a_last_picture_that_comes_late_does_so_where_another_has_no_time():
    times = [n * 40 for n in range(50)]
    film = timeline([*times[:20], NO_TIME, *times[21:], 3960], header=Fraction(25))
    assert film.ticks.tolist() == [*times, 3960] and film.frames == 100


def test_a_clock_that_is_set_back_shows_the_later_frame_in_each_place():
    """From the middle on all frames are two frames early, and so is the sound."""
    times = [n * 3600 for n in range(50)] + [n * 3600 for n in range(48, 93)]
    film = timeline(times, Fraction(1, 90_000), Fraction(25), last_duration=3600)
    assert (film.fps, film.frames) == (25, 93) and film.frames_shown(50, 43).tolist() == list(range(52, 95))


def test_a_clock_that_restarts_or_jumps_ahead_is_refused():
    with pytest.raises(RefilmError, match=r"film.mkv: the file's clock restarts after 2.0 s"):
        timeline([*range(0, 2000, 40), *range(0, 2000, 40)], header=Fraction(25))
    with pytest.raises(RefilmError, match=r"jumps ahead by 36000 s after 2.0 s"):
        timeline([*range(0, 2000, 40), *range(36_002_000, 36_004_000, 40)], header=Fraction(25))


def test_the_second_field_of_a_frame_is_half_way_to_the_next():
    fields = timeline(range(0, 400, 40), header=Fraction(25)).of_fields()
    assert (fields.fps, fields.frames) == (50, 20) and np.array_equal(
        fields.ticks * fields.tick * 1000, np.arange(0, 400, 20)
    )
