"""Predictors: what they are trained on, what they learn of sequences whose rule is known, and that dreams repeat exactly."""

import json
import math
import os
import signal
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from refilm.config.predictor_recipe import PredictorRecipe
from refilm.core.errors import Interrupted, RefilmError
from refilm.models import predictor as models
from refilm.models.model_file import save_weights
from refilm.models.pixel_energy import pixel_energy
from refilm.models.predictor import (
    DreamtLatents,
    Predictor,
    continue_latents,
    expected_path,
    load_predictor,
)
from refilm.training.predictor import PredictorTrainer, gain_over_copy, train_predictor
from refilm.training.recorder import TrainingCallbacks
from refilm.training.sequences import LatentSequences
from tests.helpers import same

CPU = torch.device("cpu")
DIM = 4
NONE = np.empty(0, int)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    monkeypatch.setattr(models, "UNITS", 48)
    monkeypatch.setattr(PredictorRecipe, "batch_size", 8)


def recipe(steps: int, seed: int = 0) -> PredictorRecipe:
    return PredictorRecipe(steps=steps, seed=seed, model="0123456789ab-6-epochs", noise=0.0, search=0)


def rotation(count: int, phase: float, radius: float = 1.0) -> np.ndarray:
    """Points on two circles, 30 frames a turn: (count, 4)."""
    angle = phase + 2 * math.pi / 30 * np.arange(count)
    return (radius * np.stack([np.cos(angle), np.sin(angle), np.cos(-angle), np.sin(-angle)], 1)).astype(np.float32)


def shots(*lengths: int) -> list[range]:
    starts = np.cumsum([0, *lengths])
    return [range(first, end) for first, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]


def trained(sequences: LatentSequences, steps: int) -> Predictor:
    trainer = PredictorTrainer(recipe(steps), sequences, CPU)
    trainer.fit(sequences, torch.ones(DIM))
    trainer.recall_elsewhere()
    for step in range(steps):
        trainer.train_step(sequences.load(step, recipe(1).batch_size), steps)
    return trainer.ema


@pytest.fixture
def scenes() -> np.ndarray:
    """Four shots of 12 frames, of random points that move straight on: they follow each other eight times."""
    random = np.random.default_rng(0)
    first, way = random.normal(0, 3, (4, 1, DIM)), random.normal(0, 0.1, (4, 1, DIM))
    return np.tile((first + way * np.arange(12)[:, None]).reshape(48, DIM), (8, 1)).astype(np.float32)


# --- what is trained on


def test_windows_hold_no_frame_that_is_held_out_and_do_not_cross_films():
    one, two = np.arange(300.0, dtype=np.float32), np.arange(1000.0, 1100, dtype=np.float32)
    films = [np.repeat(film[:, None], DIM, 1) for film in (one, two)]
    sequences = LatentSequences(films, [shots(100, 50, 150), shots(100)], [np.arange(100, 150), NONE], 0)
    assert len(sequences) == 350
    for step in range(40):
        windows = sequences.load(step, 8)
        frames = windows.latents[..., 0]
        assert not ((frames >= 100) & (frames < 150)).any()
        assert (frames.diff(dim=1)[windows.used] == 1).all()
        assert torch.equal(sequences.trained()[windows.row][..., 0], frames[:, :-1])
        assert not windows.cut.any()  # the only cut between frames that are trained on is at the held-out shot


def test_a_cut_is_the_first_frame_of_a_shot(scenes):
    sequences = LatentSequences([scenes], [shots(*[12] * 32)], [NONE], 0)
    windows = sequences.load(0, 8)
    following = windows.row + 1
    assert torch.equal(windows.cut, (following % 12 == 0) & windows.used)
    assert torch.equal(windows.opening[windows.cut], (following // 12)[windows.cut])


def test_examples_lie_within_single_shots_of_their_kind():
    film = np.repeat(np.arange(300.0, dtype=np.float32)[:, None], DIM, 1)
    sequences = LatentSequences([film], [shots(100, 50, 20, 130)], [np.arange(100, 150)], 0)
    for held_out, within in ((False, [(0, 100), (170, 300)]), (True, [(100, 150)])):
        context, truth = (part[..., 0] for part in sequences.examples(held_out, 999))
        assert len(context) and (torch.cat([context, truth], 1).diff(dim=1) == 1).all()
        ends = [(row[0].item(), after[-1].item()) for row, after in zip(context, truth, strict=True)]
        assert all(any(low <= first and last < high for low, high in within) for first, last in ends)


def test_the_energy_of_a_latent_is_that_of_its_column_of_the_jacobian():
    matrix = torch.randn(DIM, 3 * 16 * 16, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1.0], [2], [4], [8]])

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(matrix)
            self.recipe = type("R", (), {"spec": type("S", (), {"mixes_batch": False})})

        def decode(self, latents):
            return (latents @ self.weight).unflatten(1, (3, 16, 16))

    energy = pixel_energy(Linear(), torch.zeros(2048, DIM))
    assert torch.allclose(energy, matrix.square().sum(1), rtol=0.15)


# --- what is learnt


def test_it_predicts_a_rotation_that_it_has_not_seen_better_than_standing_still():
    films = [
        np.concatenate([rotation(80, phase, radius) for phase, radius in [(0, 1), (2, 1.2), (4, 0.9), (1, 1.1), (3, 1)]])
    ]
    sequences = LatentSequences(films, [shots(*[80] * 5)], [np.arange(320, 400)], 0)
    contexts, truth = sequences.examples(True, 99)
    gains = gain_over_copy(trained(sequences, 100), contexts, truth)
    assert gains[0] > 3 and gains[7] > 3, gains


def test_what_it_has_watched_it_knows_by_heart(scenes):
    """Of random walks nothing can be predicted but by memory."""
    walk = np.random.default_rng(1).normal(0, 0.3, (200, DIM)).cumsum(0).astype(np.float32)
    sequences = LatentSequences([walk], [shots(100, 100)], [NONE], 0)
    contexts, truth = sequences.examples(False, 99)
    gains = gain_over_copy(trained(sequences, 100), contexts, truth)
    assert gains[0] > 4 and gains[7] > 4, gains


def test_it_learns_when_a_cut_comes_and_which_shot_follows(scenes):
    sequences = LatentSequences([scenes], [shots(*[12] * 32)], [NONE], 0)
    predictor = trained(sequences, 200)
    latents = torch.from_numpy(scenes[:96])[None]
    with torch.no_grad():
        forecast, _state = predictor(latents, torch.arange(96)[None])
    chance = forecast.cut.sigmoid()[0]
    ends = torch.arange(96) % 12 == 11
    assert chance[24:][ends[24:]].min() > 0.5 > chance[24:][~ends[24:]].max()
    following = predictor.opening_rows[forecast.openings[0].argmax(1)][ends] // 12 % 4
    assert torch.equal(following[2:], ((torch.arange(96)[ends] + 1) // 12 % 4)[2:])


# --- dreams


@pytest.fixture
def dreamer() -> Predictor:
    torch.manual_seed(0)
    films = [np.concatenate([rotation(60, phase) for phase in (0, 1, 2)])]
    sequences = LatentSequences(films, [shots(60, 60, 60)], [NONE], 0)
    trainer = PredictorTrainer(recipe(4), sequences, CPU)
    trainer.fit(sequences, torch.ones(DIM))
    return trainer.ema.eval()


def dream(predictor: Predictor, count: int, **chance) -> np.ndarray:
    return np.stack(list(islice(continue_latents(predictor, rotation(30, 0.5), **chance), count)))


@pytest.fixture
def walker() -> Predictor:
    """Of eight shots of 60 frames that are unlike each other and never stand still; it draws no cuts."""
    torch.manual_seed(0)
    walks = [np.random.default_rng(n).normal(0, 0.3, (60, DIM)).cumsum(0) + 20 * n for n in range(8)]
    sequences = LatentSequences([np.concatenate(walks).astype(np.float32)], [shots(*[60] * 8)], [NONE], 0)
    trainer = PredictorTrainer(recipe(4), sequences, CPU)
    trainer.fit(sequences, torch.ones(DIM))
    with torch.no_grad():
        trainer.ema.cut.bias.fill_(-50.0)
    return trainer.ema.eval()


def dreamt_shots(predictor: Predictor, seed: int) -> list[tuple[int, int]]:
    """(which shot, how many frames of it) a dream of 900 frames shows, one after the other."""
    film = predictor.memory.float().numpy()
    made = np.stack(list(islice(continue_latents(predictor, film[:30], seed), 900)))
    nearest = np.square(made[:, None] - film).sum(2).argmin(1) // 60
    starts = [0, *(np.flatnonzero(np.diff(nearest)) + 1).tolist(), 900]
    return [(int(nearest[first]), end - first) for first, end in pairwise(starts)]


def test_a_dream_does_not_stay_where_a_shot_of_the_film_ends(walker):
    assert all(frames <= 60 for seed in (1, 2) for _shot, frames in dreamt_shots(walker, seed))


def test_what_was_shown_in_the_last_ten_seconds_is_not_shown_again(walker):
    for seed in (1, 2):
        seen = [shot for shot, _frames in dreamt_shots(walker, seed)]
        assert len(seen) > 10 and all(len(set(seen[n : n + 4])) == 4 for n in range(len(seen) - 3)), seen


def test_a_dream_is_decided_by_its_seed(dreamer):
    assert np.array_equal(dream(dreamer, 50, seed=1), dream(dreamer, 50, seed=1))
    assert not np.array_equal(dream(dreamer, 50, seed=1), dream(dreamer, 50, seed=2))
    assert np.array_equal(dream(dreamer, 50, seed=1), dream(dreamer, 90, seed=1)[:50])  # a longer one begins alike


def test_a_dream_stays_within_the_range_of_the_film(dreamer):
    made = dream(dreamer, 300, temperature=3)
    film = dreamer.memory.float().numpy()
    assert (made <= film.max(0) + 1e-2).all() and (made >= film.min(0) - 1e-2).all()


def test_a_film_that_it_does_not_know_becomes_the_one_that_it_knows(dreamer):
    rows, scale = dreamer.memory.float().numpy(), dreamer.weights().sqrt().numpy()
    with torch.no_grad():
        dreamer.cut.bias.fill_(-50.0)
    context = rotation(30, 0.5, radius=0.6)
    made = np.stack(list(islice(continue_latents(dreamer, context, 1, 3.0), 200)))

    def away(row: np.ndarray) -> float:
        return np.square((rows - row) * scale).sum(1).min()

    assert away(context[-1]) > 2
    assert all(away(row) <= max(1.0, 0.97 ** (n + 1) * away(context[-1])) * 1.05 for n, row in enumerate(made))


def test_without_chance_every_seed_dreams_the_same_between_cuts(dreamer):
    with torch.no_grad():
        dreamer.cut.bias.fill_(-50.0)
    one, other = (dream(dreamer, 20, seed=seed, temperature=0) for seed in (1, 2))
    assert np.array_equal(one, other)


def test_rows_are_the_same_however_they_are_read_and_few_are_kept(dreamer):
    film = rotation(60, 0)
    whole = DreamtLatents(film, 40, 10, 100, dreamer, 3, 1.0)
    parts = DreamtLatents(film, 40, 10, 100, dreamer, 3, 1.0)
    assert len(whole) == 110
    read = [parts[first : first + 32] for first in (0, 32, 64, 78)]
    assert np.array_equal(np.concatenate([*read[:3], read[3][18:]]), whole[0:110])
    assert np.array_equal(read[0][:10], film[30:40])
    assert len(parts._kept) == 32
    with pytest.raises(ValueError, match="was dropped"):
        parts[0:4]


def test_the_expected_path_is_made_of_its_own_frames(dreamer):
    contexts = torch.from_numpy(rotation(12, 0.3))[None]
    assert torch.equal(expected_path(dreamer, contexts, 9)[:, :4], expected_path(dreamer, contexts, 4))


# --- the training


def run(folder, steps: int, stop_at: int | None = None, seed: int = 0) -> PredictorTrainer:
    """Trains in a folder, as from the command; a signal comes after the preview of step `stop_at`."""
    films = [np.concatenate([rotation(60, phase) for phase in (0, 1, 2)])]
    sequences = LatentSequences(films, [shots(60, 60, 60)], [np.arange(60, 120)], seed)

    class Stopping(TrainingCallbacks):
        def on_row(self, row):
            if stop_at is not None and row["step"] >= stop_at:
                os.kill(os.getpid(), signal.SIGTERM)

    return train_predictor(
        recipe(steps, seed), sequences, lambda: torch.ones(DIM), folder, CPU, Stopping(), lambda *_shown: None
    )


def test_a_training_that_was_stopped_ends_in_the_same_weights(tmp_path):
    whole = run(tmp_path / "whole", 45)
    with pytest.raises(Interrupted, match="stopped after step 21 of 45; the same command continues"):
        run(tmp_path / "stopped", 45, stop_at=20)
    continued = run(tmp_path / "stopped", 45)
    assert same(continued.state(), whole.state())
    one, other = ((tmp_path / name / "training.csv").read_text().splitlines() for name in ("whole", "stopped"))
    measured = [[line.split(",")[4:] for line in lines if line.split(",")[0] in ("step", "45")] for lines in (one, other)]
    assert {"seen_gain", "held_out_gain", "nll"} <= set(measured[0][0])


def test_a_seed_decides_the_weights(tmp_path):
    assert same(run(tmp_path / "one", 6).state(), run(tmp_path / "two", 6).state())
    assert not same(run(tmp_path / "one", 6).state(), run(tmp_path / "other", 6, seed=1).state())


def test_a_predictor_file_is_the_predictor_and_another_file_is_refused(tmp_path, dreamer):
    save_weights(tmp_path / "a.safetensors", dreamer, recipe(4), 4, "{}")
    read = load_predictor(tmp_path / "a.safetensors", CPU)
    assert same(read.state_dict(), dreamer.state_dict())
    (tmp_path / "b.safetensors").write_bytes(b"no")
    with pytest.raises(RefilmError, match="not a predictor of this version of refilm"):
        load_predictor(tmp_path / "b.safetensors", CPU)


# --- the recipe


def test_a_recipe_is_read_as_it_was_written_and_its_length_is_no_part_of_its_state():
    one = recipe(500)
    assert PredictorRecipe.from_json(one.to_json()) == one
    assert recipe(900).state_key() == one.state_key() != recipe(500, seed=1).state_key()
    assert one.training_key() == f"{one.state_key()}-500-steps"
    auto = PredictorRecipe.from_json(json.dumps(json.loads(one.to_json()) | {"steps": "auto"}))
    assert [auto.total_steps(frames) for frames in (100, 14_400, 4 * 14_400)] == [200, 500, 1000]


@pytest.mark.parametrize(
    ("change", "line"),
    [({"sed": 1}, "unknown key 'sed'; did you mean 'seed'"), ({"version": 0}, "version 0 is not supported")],
)
def test_a_recipe_of_another_version_is_one_line(change, line):
    with pytest.raises(RefilmError, match=line):
        PredictorRecipe.from_json(json.dumps(json.loads(recipe(1).to_json()) | change))
