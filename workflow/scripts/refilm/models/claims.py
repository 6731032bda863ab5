"""What the text of 2016 says of its reconstructions, measured on films and their reconstructions by one model.

How much of a frame comes back is its signal share, c^2 / (c^2 + e^2), with the contrast c of the film's frame (standard
deviation of the luma) and the root mean square error e of the reconstruction: 1 is the same picture, 0.5 has an error as
strong as the picture itself. PSNR and SSIM are near their best in even pictures, whatever is lost in them.

Frames are of three populations that are never mixed: those that the model was trained on, held-out shots of its films, and
films that it has never seen. Effects are signed so that a positive one is what the text says. All intervals are by shots.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from refilm.core.colour import BT709_LUMA
from refilm.core.progress import progress_bar
from refilm.core.sampling import evenly_spaced
from refilm.models.faces import INSTALL, Box, elsewhere, face_detector
from refilm.models.intervals import Interval, bootstrap, means_of_groups, sums_of_groups
from refilm.models.metrics import STATIC

TRAINED, HELD_OUT, UNSEEN = POPULATIONS = ("trained on", "held out", "never seen")
YES, NO, OPEN, FEW, UNMEASURED = "borne out", "not borne out", "not decided", "too few shots", "not measured"
MEASURES = {"share": "signal share", "ssim": "SSIM"}
FEWEST_SHOTS = 10  # that decide: of fewer, the bootstrap gives intervals that are too narrow
_EVEN = 2.0  # grey levels: in a frame of less contrast there is nothing to see
_STATIC_SHOTS, _NEAR_FRAMES, _NEAR_STEP = 60, 6, 2  # of each film: shots, frames of each, and every how many
_FACE_FRAMES = 600  # of each film, that are searched for faces

Decode = Callable[[Sequence[int]], np.ndarray]  # frames of the reconstruction by their numbers, uint8 (n, H, W, 3)
Read = Callable[[Sequence[int]], np.ndarray]  # numbers of frames -> frames uint8 (n, H, W, 3), or latents (n, latent_dim)


@dataclass(frozen=True)
class MeasuredFilm:
    """A film and its reconstruction. table: as of `frame_table`; read, decode, encode: its frames, those of the
    reconstruction, and their latents by number; beside: signal shares of the same frames by other models of the same recipe,
    each with whether that model was trained on the frame: (N,) both, and the title of the model."""

    title: str
    table: pd.DataFrame
    read: Read
    decode: Decode
    encode: Read
    beside: Sequence[tuple[str, np.ndarray, np.ndarray]] = ()


@dataclass(frozen=True)
class Row:
    """An effect. about: of which frames; measure: in which unit; verdict: whether it is as the text says."""

    about: str
    measure: str
    interval: Interval

    @property
    def verdict(self) -> str:
        found = self.interval
        if not np.isfinite([found.value, found.low, found.high]).all():
            return UNMEASURED
        if found.shots < FEWEST_SHOTS:
            return FEW
        return YES if found.low > 0 else NO if found.high < 0 else OPEN


@dataclass(frozen=True)
class Series:
    """Points of a figure. label: of which frames; points: (category, interval)."""

    label: str
    points: list[tuple[str, Interval]]


@dataclass(frozen=True)
class Claim:
    """name: short; statement: what the text says; method: how it is measured; effect: what the numbers are; axis: of the
    figure; rows: the first of them that is measured decides; absent: why nothing is measured."""

    name: str
    statement: str
    method: str
    effect: str = ""
    axis: str = ""
    rows: list[Row] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    absent: str = ""

    @property
    def deciding(self) -> Row | None:
        measured = [row for row in self.rows if row.verdict != UNMEASURED]
        return next((row for row in measured if row.verdict != FEW), measured[0] if measured else None)

    @property
    def verdict(self) -> str:
        return self.deciding.verdict if self.deciding else UNMEASURED


def signal_share(psnr: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """The signal share of frames from PSNR in dB and contrast in grey levels; not a number in even frames."""
    error = 255.0**2 * 10 ** (-psnr / 10)
    return np.where(contrast >= _EVEN, contrast**2 / (contrast**2 + error), np.nan)


def frame_table(
    metrics: pd.DataFrame, shots: Sequence[range], held_out: np.ndarray, watched: bool, first_shot: int = 0
) -> pd.DataFrame:
    """The frames of a film: share, ssim, motion (not a number at a cut), contrast, shot, population.

    metrics: of `measure_film`; held_out: numbers of frames; watched: whether the model was trained on the film; first_shot:
    number of its first shot, so that those of several films differ.
    """
    count = len(metrics)
    population = np.full(count, POPULATIONS.index(TRAINED if watched else UNSEEN))
    if watched:
        population[held_out] = POPULATIONS.index(HELD_OUT)
    motion = metrics["film_motion"].to_numpy(float, copy=True)
    motion[[shot.start for shot in shots]] = np.nan
    contrast = metrics["film_contrast"].to_numpy(float)
    return pd.DataFrame(
        {
            "share": signal_share(metrics["psnr"].to_numpy(float), contrast),
            "ssim": metrics["ssim"].to_numpy(float),
            "motion": motion,
            "contrast": contrast,
            "shot": np.repeat(np.arange(len(shots)) + first_shot, [len(shot) for shot in shots]),
            "population": population,
        }
    )


def measure_claims(films: Sequence[MeasuredFilm]) -> list[Claim]:
    """All claims, in the order of the text."""
    frames = pd.concat([film.table for film in films], ignore_index=True)
    return [
        static_contrast(frames),
        low_contrast(frames),
        faces(films),
        near_identical(films),
        own_film(films),
        Claim(
            "Style is kept better by style transfer",
            "Style transfer keeps the style of a film better than a reconstruction by another film's network does.",
            "",
            absent="It would take films by style transfer to compare with, and a network that judges style. No package that "
            "refilm uses ships either.",
        ),
    ]


# --- of each frame


def static_contrast(frames: pd.DataFrame) -> Claim:
    """Claim 1."""
    kinds = ("still, high contrast", "still, low contrast", "moving, high contrast", "moving, low contrast")

    def kind(part: pd.DataFrame) -> np.ndarray:
        moving, low = part["motion"] > part["motion"].median(), part["contrast"] < part["contrast"].median()
        return (2 * moving + low).to_numpy()

    return _of_kinds(
        frames.dropna(subset=["motion", "share"]),
        kind,
        kinds,
        lambda means: means[:, 0] - _known(np.nanmax, means[:, 1:]),
        "Static scenes of high contrast come back best",
        "Still scenes with high contrast are reconstructed best.",
        "Frames are divided at the medians of their motion (mean change from the frame before) and of their contrast "
        "(standard deviation of the luma), each in its population. First frames of shots, and even frames, are left out.",
        "mean of the still frames with high contrast, less the best of the three other means",
    )


def low_contrast(frames: pd.DataFrame) -> Claim:
    """Claim 2."""
    kinds = ("lowest quarter of contrast", "second", "third", "highest")

    def kind(part: pd.DataFrame) -> np.ndarray:
        return np.searchsorted(part["contrast"].quantile([0.25, 0.5, 0.75]), part["contrast"], side="right")

    return _of_kinds(
        frames.dropna(subset=["share"]),
        kind,
        kinds,
        lambda means: _known(np.nanmin, means[:, 1:]) - means[:, 0],
        "Low contrast comes back worst",
        "Scenes of low contrast are reconstructed worst.",
        f"Frames are divided into quarters by their contrast, each in its population. Even frames, with a contrast below "
        f"{_EVEN:.0f} grey levels, are left out.",
        "worst mean of the three other quarters, less that of the lowest",
    )


def _of_kinds(
    frames: pd.DataFrame,
    kind: Callable[[pd.DataFrame], np.ndarray],
    kinds: Sequence[str],
    effect: Callable[[np.ndarray], np.ndarray],
    name: str,
    statement: str,
    method: str,
    about: str,
) -> Claim:
    """A claim about kinds of frames. effect: of means (R, kinds) -> (R,)."""
    rows, series = [], []
    for label, part in _populations(frames):
        groups, shots = kind(part), part["shot"].to_numpy()
        for column, measure in MEASURES.items():
            sums = sums_of_groups(shots, groups, part[column].to_numpy(), len(kinds))
            rows.append(Row(label, measure, bootstrap(sums, lambda totals: effect(means_of_groups(totals)), len(part))))
        series.append(Series(label, [(each, _mean_of(part[groups == n])) for n, each in enumerate(kinds)]))
    return Claim(name, statement, method, about, "signal share", _by_measure(rows), series)


def _populations(frames: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for number, label in enumerate(POPULATIONS):
        part = frames[frames["population"] == number]
        if len(part):
            yield label, part


def _mean_of(part: pd.DataFrame) -> Interval:
    """The mean signal share."""
    values = part["share"].to_numpy()
    sums = sums_of_groups(part["shot"].to_numpy(), np.zeros(len(part), int), values, 1)
    return bootstrap(sums, lambda totals: means_of_groups(totals)[:, 0], int(np.isfinite(values).sum()))


def _by_measure(rows: list[Row]) -> list[Row]:
    """The rows of the signal share, which decides, before those of SSIM."""
    return sorted(rows, key=lambda row: list(MEASURES.values()).index(row.measure))


def _known(function: Callable[..., np.ndarray], values: np.ndarray) -> np.ndarray:
    """The function over columns, not a number where all are not."""
    known = np.isfinite(values).any(axis=1)
    out = np.full(len(values), np.nan)
    out[known] = function(values[known], axis=1)
    return out


# --- faces


def faces(films: Sequence[MeasuredFilm]) -> Claim:
    """Claim 3: frames are searched for faces, and decoded where there are some."""
    name, statement = "Moving faces and heads are hard", "Faces and heads that move are reconstructed badly."
    detector = face_detector()
    if detector is None:
        return Claim(name, statement, "", absent=f"It takes a detector of faces, which refilm does not bring: {INSTALL}.")
    detect, which = detector
    found = pd.DataFrame([face for film in films for face in _faces_of(film, detect)], columns=_FACE_COLUMNS)
    rows, series = [], []
    for label, part in _populations(found):
        for about, some in ((f"{label}, moving", part[part["moves"]]), (f"{label}, all", part)):
            shots, values = some["shot"].to_numpy(), some[["elsewhere", "face"]].to_numpy()
            sums = sums_of_groups(np.repeat(shots, 2), np.tile([0, 1], len(some)), values.ravel(), 2)
            interval = bootstrap(sums, lambda totals: -np.diff(means_of_groups(totals), axis=1)[:, 0], len(some))
            rows.append(Row(about, MEASURES["share"], interval))
        points = [(each, _mean_of(part.assign(share=part[each]))) for each in ("face", "elsewhere")]
        series.append(Series(label, points))
    method = (
        f"At most {_FACE_FRAMES:,} frames of each film, evenly spaced, were searched by {which}. They find frontal "
        "faces, and may take something else for one. The signal share inside of a face is compared with that of a box of "
        "the same size and height at the edge of the same frame. Moving: with more motion than the median of the film."
    )
    rows.sort(key=lambda row: row.about.endswith("all"))
    absent = "" if len(found) else f"No face was found by {which}."
    return Claim(name, statement, method, "mean elsewhere, less that of faces", "signal share", rows, series, absent)


_FACE_COLUMNS = ("face", "elsewhere", "moves", "shot", "population")


def _faces_of(
    film: MeasuredFilm, detect: Callable[[np.ndarray], list[Box]]
) -> Iterator[tuple[float, float, bool, int, int]]:
    """For each face: the signal shares in it and elsewhere, whether the frame moves, shot, population."""
    table, searched = film.table, evenly_spaced(len(film.table), _FACE_FRAMES)
    moving = table["motion"].to_numpy() > table["motion"].median()
    with progress_bar(f"faces in {film.title}", len(searched), " frames") as bar:
        for index in searched:
            frame = film.read([index])[0]
            boxes = detect(frame)
            pairs = [(box, other) for box in boxes if (other := elsewhere(box, boxes, frame.shape[1]))]
            made = film.decode([index])[0] if pairs else frame
            for box, other in pairs:
                shot, population = (int(table[name].iloc[index]) for name in ("shot", "population"))
                yield _share_in(frame, made, box), _share_in(frame, made, other), bool(moving[index]), shot, population
            bar.update()


def _share_in(frame: np.ndarray, made: np.ndarray, box: Box) -> float:
    left, top, width, height = box
    x, y = (each[top : top + height, left : left + width].astype(float) for each in (frame, made))
    contrast, error = (x @ BT709_LUMA).std(), np.square(x - y).mean()
    return float(contrast**2 / (contrast**2 + error)) if contrast >= _EVEN else np.nan


# --- frames that are nearly the same


def near_identical(films: Sequence[MeasuredFilm]) -> Claim:
    """Claim 4: distances within static shots and between them."""
    found = pd.DataFrame([row for film in films for row in _distances_of(film)], columns=_DISTANCE_COLUMNS)
    rows, series = [], []
    for label, part in _populations(found):
        for kind, where in (("picture", "distance of pictures"), ("latents", "distance of latents")):
            sums = part[["film_near", "film_far", f"{kind}_near", f"{kind}_far"]].to_numpy()
            rows.append(Row(label, where, bootstrap(sums, _fallen, len(part) * _NEAR_FRAMES)))
        series.append(Series(label, [(kind, _relative(part, kind)) for kind in _KINDS]))
    rows.sort(key=lambda row: row.measure, reverse=True)
    return Claim(
        "Nearly identical frames fall together",
        "Frames that are nearly the same become one and the same.",
        f"From at most {_STATIC_SHOTS} shots of each film whose median motion is at most {STATIC[1]:g} grey levels, "
        f"{_NEAR_FRAMES} frames in the middle of each, {_NEAR_STEP} apart. Near: root mean square differences of "
        "frames of the same shot; far: of frames of one shot and the next of these. The ratio near / far is taken in the "
        "film, in the reconstruction and in the latents. Noise of the film counts as a difference.",
        "1 less the ratio near / far of the reconstruction over that of the film; 0: as in the film, 1: one and the same",
        "near / far",
        rows,
        series,
        "" if len(found) else f"No film has a shot with a median motion of at most {STATIC[1]:g} grey levels.",
    )


def _fallen(totals: np.ndarray) -> np.ndarray:
    film_near, film_far, near, far = totals.T
    with np.errstate(divide="ignore", invalid="ignore"):
        fallen: np.ndarray = 1 - (near / far) / (film_near / film_far)
    return fallen


def _relative(part: pd.DataFrame, kind: str) -> Interval:
    def ratio(totals: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            quotients: np.ndarray = totals[:, 0] / totals[:, 1]
        return quotients

    return bootstrap(part[[f"{kind}_near", f"{kind}_far"]].to_numpy(), ratio, len(part) * _NEAR_FRAMES)


_KINDS = ("film", "picture", "latents")
_DISTANCE_COLUMNS = ("shot", "population", *(f"{kind}_{how}" for kind in _KINDS for how in ("near", "far")))


def _distances_of(film: MeasuredFilm) -> Iterator[tuple[float, ...]]:
    """For each static shot: its number, population, and of each of the kinds the mean distances near and far."""
    shots = _static_shots(film.table)
    if len(shots) < 2:
        return
    indices = np.concatenate(shots).tolist()
    kinds = [each(indices) for each in (film.read, film.decode, film.encode)]
    parts = [values.reshape(len(shots), _NEAR_FRAMES, -1).astype(np.float32) for values in kinds]
    for n, shot in enumerate(shots):
        distances = [d for values in parts for d in (_near(values[n]), _far(values[n], values[(n + 1) % len(shots)]))]
        first = film.table.iloc[shot[0]]
        yield int(first["shot"]), int(first["population"]), *distances


def _static_shots(table: pd.DataFrame) -> list[np.ndarray]:
    """Numbers of nearly identical frames of static shots, which have something to see."""
    length, found = _NEAR_FRAMES * _NEAR_STEP, []
    positions = table.reset_index(drop=True)
    for _, shot in positions.groupby("shot", sort=True):
        if len(shot) > length and shot["motion"].median() <= STATIC[1] and shot["contrast"].median() >= _EVEN:
            middle = int(shot.index[0]) + (len(shot) - length) // 2
            found.append(np.arange(middle, middle + length, _NEAR_STEP))
    return [found[n] for n in evenly_spaced(len(found), _STATIC_SHOTS)]


def _near(values: np.ndarray) -> float:
    """Mean distance of the pairs of rows (n, d)."""
    first, second = np.triu_indices(len(values), 1)
    return float(np.sqrt(np.square(values[first] - values[second]).mean(axis=1)).mean())


def _far(values: np.ndarray, others: np.ndarray) -> float:
    """Mean distance of rows (n, d) and others."""
    return float(np.sqrt(np.square(values - others).mean(axis=1)).mean())


# --- the model's own film


def own_film(films: Sequence[MeasuredFilm]) -> Claim:
    """Claim 5."""
    frames = pd.concat([film.table for film in films], ignore_index=True)
    rows = [*_same_film(films)]
    for population in (HELD_OUT, TRAINED):
        part = frames[frames["population"].isin([POPULATIONS.index(each) for each in (population, UNSEEN)])].dropna(
            subset=["share"]
        )
        groups = (part["population"] == POPULATIONS.index(UNSEEN)).to_numpy(int)
        if 0 < groups.sum() < len(groups):
            sums = sums_of_groups(part["shot"].to_numpy(), groups, part["share"].to_numpy(), 2)
            interval = bootstrap(sums, lambda totals: -np.diff(means_of_groups(totals), axis=1)[:, 0], len(part))
            rows.append(Row(f"{population}, less never seen", MEASURES["share"], interval))
    titles = sorted({title for film in films for title, *_ in film.beside})
    others = f" (beside: {', '.join(titles)})" if titles else ""
    series = [
        Series(
            label, [(film.title, _mean_of(part)) for film in films for own, part in _populations(film.table) if own == label]
        )
        for label, _ in _populations(frames)
    ]
    return Claim(
        "Its own film comes back far better than others",
        "A network reconstructs the film that it was trained on far better than other films.",
        "Films differ in how hard they are. So, where the configuration reconstructs a film by two networks of the same "
        "recipe and frame size of which only one was trained on it, that film is compared frame by frame, and the "
        f"frames that one was trained on decide{others}. The other rows compare films with each other.",
        "mean by the network that was trained on the film, less that by the other; or mean of its own film, less of others",
        "signal share",
        rows,
        series,
        ""
        if rows
        else "The configuration reconstructs no film by this model that it was trained on, beside one that it was not.",
    )


def _same_film(films: Sequence[MeasuredFilm]) -> Iterator[Row]:
    """All films that this model and another one reconstruct, of which one was trained on the frame."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {TRAINED: [], HELD_OUT: []}
    for film in films:
        own = film.table["population"].to_numpy()
        for _title, share, population in film.beside:
            sign = np.where(own == POPULATIONS.index(UNSEEN), -1.0, 1.0)
            of = np.where(own == POPULATIONS.index(UNSEEN), population, own)
            for label, differences in found.items():
                chosen = of == POPULATIONS.index(label)
                values = sign * (film.table["share"].to_numpy() - share)
                differences.append((film.table["shot"].to_numpy()[chosen], values[chosen]))
    for label, parts in found.items():
        if parts and sum(len(shots) for shots, _ in parts):
            shots, values = (np.concatenate(each) for each in zip(*parts, strict=True))
            sums = sums_of_groups(shots, np.zeros(len(shots), int), values, 1)
            interval = bootstrap(sums, lambda totals: means_of_groups(totals)[:, 0], int(np.isfinite(values).sum()))
            yield Row(f"same frames, {label} by one network", MEASURES["share"], interval)
