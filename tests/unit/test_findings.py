"""Findings: intervals against closed forms, and claims on films that were made so that they hold, or do not."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch

from refilm.models import claims
from refilm.models.claims import FEW, NO, OPEN, UNMEASURED, YES, Claim, MeasuredFilm, Row, Series
from refilm.models.faces import elsewhere
from refilm.models.intervals import Interval, bootstrap, means_of_groups, sums_of_groups
from refilm.models.metrics import contrast, luma, psnr
from refilm.rendering.findings import Findings, draw_figure

SHOTS, LENGTH = 24, 20
HOSTILE = "</title><script>alert(1)</script>|[x](y)"


def table_of(share, motion=None, contrast_of=None, population=0, shots=SHOTS) -> pd.DataFrame:
    """A film of shots of 20 frames, whose columns are constants or a value for each frame."""
    count = shots * LENGTH
    columns = {"share": share, "ssim": share, "motion": 1.0 if motion is None else motion}
    columns |= {"contrast": 50.0 if contrast_of is None else contrast_of, "population": population}
    return pd.DataFrame(columns | {"shot": np.arange(count) // LENGTH}, index=range(count))


def film_of(table: pd.DataFrame, frames: np.ndarray, made: np.ndarray, latents=None, beside=()) -> MeasuredFilm:
    latents = frames.reshape(len(frames), -1) if latents is None else latents
    return MeasuredFilm("A film", table, frames.__getitem__, made.__getitem__, latents.__getitem__, beside)


# --- intervals


def test_an_interval_is_by_shots_and_not_by_frames():
    """Of n independent values the mean has the standard error s / sqrt(n), however often each is repeated in its shot."""
    values = np.random.default_rng(1).normal(5, 2, 200)
    for repeated in (1, 30):
        shots = np.repeat(np.arange(200), repeated)
        sums = sums_of_groups(shots, np.zeros(len(shots), int), np.repeat(values, repeated), 1)
        found = bootstrap(sums, lambda totals: means_of_groups(totals)[:, 0], len(shots))
        assert (found.shots, found.frames) == (200, 200 * repeated) and found.value == pytest.approx(values.mean())
        error = values.std() / math.sqrt(200)
        assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
        assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_sums_are_those_of_pandas_without_missing_values():
    random = np.random.default_rng(2)
    shots, groups = random.integers(3, 9, 500), random.integers(0, 3, 500)
    values = np.where(random.random(500) < 0.1, np.nan, random.normal(size=500))
    sums = sums_of_groups(shots, groups, values, 3)
    table = pd.DataFrame({"shot": shots, "group": groups, "value": values}).groupby(["shot", "group"])["value"]
    assert np.allclose(sums[:, :3], table.sum().unstack()) and np.array_equal(sums[:, 3:], table.count().unstack())
    assert np.isnan(means_of_groups(np.array([[1.0, 0, 2, 0]]))[0]).tolist() == [False, True]
    assert bootstrap(np.empty((0, 2)), lambda totals: totals[:, 0], 0).shots == 0


# --- claims


def test_the_signal_share_is_that_of_the_pixels():
    random = np.random.default_rng(3)
    film = random.integers(0, 256, (3, 48, 64, 1)).repeat(3, axis=3).astype(np.uint8)
    film[2] = 90
    made = random.integers(0, 256, film.shape).astype(np.uint8)
    x, y = (torch.from_numpy(frames) for frames in (film, made))
    found = claims.signal_share(psnr(x, y).numpy(), contrast(luma(x)).numpy())
    squares = [np.square(a.astype(float) - b).mean() for a, b in zip(film, made, strict=True)]
    assert found[:2] == pytest.approx([film[n].var() / (film[n].var() + squares[n]) for n in (0, 1)])
    assert np.isnan(found[2])  # an even frame


def test_a_table_of_frames_knows_cuts_and_populations():
    metrics = pd.DataFrame({"psnr": 20.0, "ssim": 0.5, "film_motion": 3.0, "film_contrast": 40.0}, index=range(10))
    shots = [range(0, 4), range(4, 10)]
    table = claims.frame_table(metrics, shots, np.arange(4, 10), watched=True, first_shot=7)
    assert table["shot"].tolist() == [7] * 4 + [8] * 6 and table["population"].tolist() == [0] * 4 + [1] * 6
    assert np.flatnonzero(table["motion"].isna()).tolist() == [0, 4]
    unseen = claims.frame_table(metrics, shots, np.arange(4, 10), watched=False)
    assert unseen["population"].tolist() == [2] * 10


KINDS = [(motion, level) for motion in (0.5, 5.0) for level in (90.0, 20.0)]  # in the order of the claim


@pytest.mark.parametrize(
    ("means", "verdict"), [((0.9, 0.7, 0.7, 0.6), YES), ((0.7, 0.9, 0.6, 0.6), NO), ((0.7, 0.5, 0.7, 0.5), OPEN)]
)
def test_static_scenes_of_high_contrast(means, verdict):
    random, frames = np.random.default_rng(4), SHOTS * LENGTH
    kind = np.repeat(np.arange(SHOTS) % 4, LENGTH)
    motion, level = np.array(KINDS)[kind].T + random.normal(0, 0.01, (2, frames))
    share = np.array(means)[kind] + np.repeat(random.normal(0, 0.02, SHOTS), LENGTH)
    claim = claims.static_contrast(table_of(share, motion, level))
    assert claim.verdict == verdict and [row.measure for row in claim.rows] == ["signal share", "SSIM"]
    expected = [share[kind == n].mean() for n in range(4)]
    assert [found.value for _, found in claim.series[0].points] == pytest.approx(expected)
    assert claim.rows[0].interval.value == pytest.approx(expected[0] - max(expected[1:]))


def test_low_contrast_is_compared_with_the_worst_of_the_other_quarters():
    level = np.repeat(np.tile([10.0, 30, 60, 90], SHOTS // 4), LENGTH) + np.tile(np.linspace(0, 1, LENGTH), SHOTS)
    share = np.select([level < 20, level < 50, level < 80], [0.3, 0.6, 0.5], 0.9)
    claim = claims.low_contrast(table_of(share, contrast_of=level))
    assert claim.verdict == YES and claim.rows[0].interval.value == pytest.approx(0.2)
    assert claims.low_contrast(table_of(1 - share, contrast_of=level)).verdict == NO


def test_populations_are_never_mixed():
    """What was trained on bears the claim out, what was not contradicts it; the first decides."""
    level = np.repeat(np.tile([10.0, 30, 60, 90], SHOTS // 4), LENGTH) + np.tile(np.linspace(0, 1, LENGTH), SHOTS)
    share = level / 100
    parts = [table_of(share, contrast_of=level), table_of(1 - share, contrast_of=level, population=2)]
    parts[1]["shot"] += SHOTS
    claim = claims.low_contrast(pd.concat(parts, ignore_index=True))
    assert [(row.about, row.verdict) for row in claim.rows if row.measure == "signal share"] == [
        ("trained on", YES),
        ("never seen", NO),
    ]
    assert claim.verdict == YES and claim.deciding.interval.shots == SHOTS


def test_few_shots_do_not_decide():
    level = np.repeat(np.tile([10.0, 30, 60, 90], 2), LENGTH) + np.tile(np.linspace(0, 1, LENGTH), 8)
    claim = claims.low_contrast(table_of(level / 100, contrast_of=level, shots=8))
    assert claim.verdict == FEW and claim.deciding is claim.rows[0]


def moving_shots(seed: int = 5) -> np.ndarray:
    """Shots of one random picture each, which brightens a little from frame to frame: uint8 (N, 8, 16, 3)."""
    pictures = np.random.default_rng(seed).integers(0, 200, (SHOTS, 1, 8, 16, 3))
    return (pictures + np.arange(LENGTH)[None, :, None, None, None]).reshape(-1, 8, 16, 3).astype(np.uint8)


def test_frames_that_become_one_have_fallen_together():
    frames = moving_shots()
    frozen = frames.reshape(SHOTS, LENGTH, 8, 16, 3)[:, :1].repeat(LENGTH, axis=1).reshape(frames.shape)
    same, one = (claims.near_identical([film_of(table_of(0.9), frames, made)]) for made in (frames, frozen))
    assert same.rows[0].measure == one.rows[0].measure == "distance of pictures"
    assert same.rows[0].interval.value == pytest.approx(0) and one.rows[0].interval.value == pytest.approx(1)
    assert one.verdict == YES and same.verdict != YES and one.rows[0].interval.shots == SHOTS
    assert one.rows[1].interval.value == pytest.approx(0)  # of the latents, which are the pixels here
    # frames n, n + 2, ... of a shot differ by twice their distance in levels
    expected = np.mean([2 * (b - a) for a, b in itertools.combinations(range(6), 2)])
    distances = list(claims._distances_of(film_of(table_of(0.9), frames, frozen)))
    assert [row[2] for row in distances] == [pytest.approx(expected)] * SHOTS
    assert claims.near_identical([film_of(table_of(0.9, motion=9.0), frames, frozen)]).absent


def test_the_same_frames_are_compared_by_networks_that_watched_them_or_not():
    random = np.random.default_rng(6)
    gain = np.repeat(random.normal(0.2, 0.05, SHOTS), LENGTH)
    own = table_of(0.8)
    own.loc[: LENGTH - 1, "population"] = 1
    frames = moving_shots()
    other = np.full(len(own), 2)
    film = film_of(own, frames, frames, beside=[("Other", own["share"].to_numpy() - gain, other)])
    trained, held_out = claims.own_film([film]).rows
    assert trained.about == "same frames, trained on by one network" and held_out.interval.shots == 1
    assert trained.interval.value == pytest.approx(gain[LENGTH:].mean()) and trained.verdict == YES
    # the reverse: this network has not seen the film, and the other was trained on it
    unseen = table_of(0.5, population=2)
    film = film_of(unseen, frames, frames, beside=[("Other", unseen["share"].to_numpy() + gain, np.zeros(len(own), int))])
    claim = claims.own_film([film])
    assert claim.verdict == YES and claim.rows[0].interval.value == pytest.approx(gain.mean()) and "Other" in claim.method


def test_films_are_compared_where_no_other_network_shows_them():
    frames = moving_shots()
    own, other = table_of(0.8), table_of(0.5, population=2)
    other["shot"] += SHOTS
    claim = claims.own_film([film_of(own, frames, frames), film_of(other, frames, frames)])
    assert [row.about for row in claim.rows] == ["trained on, less never seen"] and claim.verdict == YES
    assert claim.rows[0].interval.value == pytest.approx(0.3)
    alone = claims.own_film([film_of(own, frames, frames)])
    assert alone.verdict == UNMEASURED and alone.absent


def test_faces_are_compared_with_the_same_frame_elsewhere(monkeypatch):
    greys = np.random.default_rng(7).integers(0, 256, (SHOTS * LENGTH, 16, 32, 1))
    frames = greys.repeat(3, axis=3).astype(np.uint8)
    made = frames.copy()
    made[:, 2:10, 4:12] = 128  # all faces are lost: the error is as strong as the picture

    def detect(frame):
        return [(4, 2, 8, 8)]

    monkeypatch.setattr(claims, "face_detector", lambda: (detect, "a detector"))
    motion = np.tile(np.linspace(0, 1, LENGTH), SHOTS)
    claim = claims.faces([film_of(table_of(0.5, motion=motion), frames, made)])
    assert [row.about for row in claim.rows] == ["trained on, moving", "trained on, all"] and claim.verdict == YES
    assert claim.rows[0].interval.value == pytest.approx(1 - 0.5, abs=0.05) and claim.rows[1].interval.frames == len(frames)
    monkeypatch.setattr(claims, "face_detector", lambda: None)
    assert claims.faces([]).verdict == UNMEASURED and "opencv-python-headless" in claims.faces([]).absent


def test_a_box_elsewhere_is_at_the_farther_edge_and_never_on_a_face():
    face = (10, 5, 20, 20)
    assert elsewhere(face, [face], 100) == (80, 5, 20, 20)
    assert elsewhere((70, 5, 20, 20), [], 100) == (0, 5, 20, 20)
    assert elsewhere(face, [face, (70, 20, 20, 20)], 100) is None
    assert elsewhere(face, [face, (70, 25, 20, 20)], 100) == (80, 5, 20, 20)
    assert elsewhere((0, 0, 90, 90), [(0, 0, 90, 90)], 100) is None


# --- the report


def report() -> Findings:
    interval = Interval(0.25, 0.125, 0.5, 1200, 40)
    measured = Claim(
        "A claim", "It says so.", "By this.", "a difference", "signal share", [Row("trained on", "SSIM", interval)],
        [Series("trained on", [(HOSTILE, interval)])],
    )  # fmt: skip
    return Findings(
        HOSTILE, ["A fact."], [("trained on", 1200, 40, HOSTILE)], [measured, Claim("B", "So.", "", absent="No.")]
    )


def test_a_report_says_the_same_as_a_page_and_as_markdown():
    page, table = report().to_html("digest", "{}"), report().to_markdown()
    for text in (page, table):
        assert "<script" not in text.replace("\\<script", "") and "+0.250" in text and "+0.125 to +0.500" in text
        assert "1,200" in text and YES in text and UNMEASURED in text and "2,000 resamples" in text
    assert 'content="digest"' in page[:4096]
    rows = [line for line in table.splitlines() if line.startswith("| trained on | SSIM")]
    assert rows == ["| trained on | SSIM | +0.250 | +0.125 to +0.500 | 1,200 | 40 | borne out |"]
    heads = [line.replace("\\|", "").count("|") for line in table.splitlines() if line.startswith("|")]
    assert set(heads) == {5, 7, 8, 3}  # a title ends no cell


def test_a_figure_follows_the_scheme_of_the_page_and_is_the_same_each_time():
    claim = report().claims[0]
    figure = draw_figure(claim)
    assert figure == draw_figure(claim) and "prefers-color-scheme:dark" in figure
    assert "<script" not in figure and "var(--c0)" in figure and "var(--c3)" in figure and "#040404" not in figure
