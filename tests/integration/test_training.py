"""Training: what is drawn when, and that being killed changes nothing."""

import csv
import errno
import fcntl
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from refilm.config.recipe import Recipe
from refilm.config.recipes import RECIPES
from refilm.core.errors import RefilmError
from refilm.core.prefetch import prefetch
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.models.inference import decode_latents, encode_film, reconstruct_frames
from refilm.models.model_file import save_model
from refilm.training import loop, now, recorder
from refilm.training.checkpoint import StateFolder
from refilm.training.log import TrainingLog
from refilm.training.loop import train
from refilm.training.optimiser import in_layout_of
from refilm.training.recorder import TrainingCallbacks
from refilm.training.sampler import FrameSampler, learning_rate, preview_steps
from refilm.training.trainer import Trainer
from tests.conftest import WITH_TORCH, command, refused, small_recipe
from tests.helpers import CollectedPreviews, done, provenance_of, same, store_of, wait_for
from tests.models import recipe_named
from tests.prepared import Process

CPU = torch.device("cpu")


@pytest.fixture
def films(tmp_path):
    return [store_of(tmp_path / "one.h5", 13), store_of(tmp_path / "two.h5", 9)]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.state().items()}


# --- what a step takes in


def test_an_epoch_shows_every_frame_of_every_film_once(films):
    with FrameStore(films[0]) as one, FrameStore(films[1]) as two:
        sampler = FrameSampler([one, two], small_recipe())
        drawn = np.concatenate([sampler.indices(step) for step in range(33)])  # 132 frames: six epochs of 22
        assert len(sampler) == 22
        for epoch in range(6):
            assert sorted(drawn[22 * epoch : 22 * (epoch + 1)]) == list(range(22))
        assert Counter(drawn) == dict.fromkeys(range(22), 6)
        assert not np.array_equal(drawn[:22], drawn[22:44]) and not np.array_equal(drawn[:22], np.arange(22))


def test_equal_weights_show_every_film_equally_often(films):
    with FrameStore(films[0]) as one, FrameStore(films[1]) as two:
        sampler = FrameSampler([one, two], small_recipe(film_weighting="equal"))
        drawn = np.concatenate([sampler.indices(step) for step in range(117)])  # 468: 18 epochs of 13, 26 of 9
    counts = Counter(drawn.tolist())
    assert {counts[n] for n in range(13)} == {18} and {counts[n] for n in range(13, 22)} == {26}
    assert len(sampler) == 22


@pytest.mark.parametrize(("wanted", "of_each"), [(8, (4, 4)), (20, (11, 9)), (99, (13, 9))])
def test_a_fit_has_as_many_frames_as_wanted_although_one_film_is_short(films, wanted, of_each):
    with FrameStore(films[0]) as one, FrameStore(films[1]) as two:
        chosen = FrameSampler([one, two], small_recipe(film_weighting="equal")).representative(wanted)
    assert len(set(chosen.tolist())) == len(chosen)
    assert (np.sum(chosen < 13), np.sum(chosen >= 13)) == of_each


def test_the_shards_of_a_batch_make_the_batch(films):
    with FrameStore(films[0]) as film:
        whole, parts = (
            FrameSampler([film], small_recipe(augment=0.75)),
            [FrameSampler([film], small_recipe(augment=0.75), shard=(n, 2)) for n in (0, 1)],
        )
        for step in (0, 3, 11):
            batch, halves = whole.load(step, 100), [part.load(step, 100) for part in parts]
            for name in ("frames", "noise", "prior", "augmentations"):
                assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(batch, name))


def shots_film(path):
    """Four shots of 24 frames, each a picture of its own that hardly moves."""
    random, frames = np.random.default_rng(0), []
    for _ in range(4):
        picture = random.integers(0, 240, (6, 8, 3)).repeat(8, 0).repeat(8, 1)
        frames.append((picture + random.integers(0, 9, (24, 48, 64, 3))).astype(np.uint8))
    write_frames_from(path, 64, 48, FrameMetadata(Fraction(24)), frames)
    return path


def test_held_out_shots_are_never_shown_and_are_measured_apart(tmp_path, capsys):
    recipe = small_recipe(holdout_fraction=0.25, steps=20)
    with FrameStore(shots_film(tmp_path / "shots.h5")) as film:
        sampler = FrameSampler([film], recipe)
        drawn = set(np.concatenate([sampler.indices(step) for step in range(18)]).tolist())
    held = set(sampler.held_out.tolist())
    assert len(held) == 24 and min(held) % 24 == 0 and max(held) - min(held) == 23  # one whole shot
    assert drawn == set(range(96)) - held and len(sampler) == 72
    assert (
        set(sampler.evenly_spaced(999).tolist()) == drawn and set(sampler.evenly_spaced(999, held_out=True).tolist()) == held
    )
    trainer = train(recipe, [tmp_path / "shots.h5"], tmp_path / "model", CPU)
    assert "held out: 24 of the 96 frames of shots\n" in capsys.readouterr().out
    with open(tmp_path / "model" / "training.csv") as file:
        last = list(csv.DictReader(file))[-1]
    with FrameStore(tmp_path / "shots.h5") as film:
        for column in ("seen_psnr", "held_out_psnr"):
            indices = sampler.evenly_spaced(64, held_out=column == "held_out_psnr").tolist()
            squared = np.square(reconstruct_frames(trainer.ema, film, indices).astype(float) - film.read(indices)).mean()
            assert float(last[column]) == pytest.approx(10 * np.log10(255**2 / squared), abs=0.01)


def test_clips_are_near_frames_of_one_shot(tmp_path):
    recipe = small_recipe(recipe="hybrid", batch_size=8, clips=0.5, holdout_fraction=0.25)
    with FrameStore(shots_film(tmp_path / "shots.h5")) as film:
        sampler, again = FrameSampler([film], recipe), FrameSampler([film, film], recipe)
        batches = np.stack([sampler.indices(step) for step in range(60)])  # 60 * 6 frames are five epochs of 72
        of_second_film = np.concatenate([again.indices(step)[4:].reshape(-1, 2) for step in range(60)])
        assert sampler.load(0, 60).clip_shares.tolist() == [0.5, 0.5]
    pairs = batches[:, 4:].reshape(-1, 2)
    assert Counter(np.concatenate([batches[:, :4], batches[:, 4::2]], 1).ravel().tolist()) == dict.fromkeys(
        set(range(96)) - set(sampler.held_out.tolist()), 5
    )
    assert set(np.abs(pairs[:, 1] - pairs[:, 0]).tolist()) == {1, 2, 4, 8} and np.mean(pairs[:, 1] > pairs[:, 0]) < 0.7
    assert (pairs[:, 0] // 24 == pairs[:, 1] // 24).all()
    assert of_second_film.max() >= 96 and (of_second_film[:, 0] // 24 == of_second_film[:, 1] // 24).all()


def test_longer_clips_go_on_at_equal_distances_and_never_leave_their_shot(tmp_path):
    recipe = small_recipe(recipe="hybrid", batch_size=9, clips=1, clip_length=4)  # two clips and a single frame
    with FrameStore(shots_film(tmp_path / "shots.h5")) as film:
        sampler = FrameSampler([film], recipe)
        batches = np.stack([sampler.indices(step) for step in range(96)])  # three frames drawn in each: three epochs
        assert sampler.load(0, 96).clip_shares.tolist() == [0.5, 0.5]
    clips = batches[:, 1:].reshape(-1, 4)
    assert Counter(np.concatenate([batches[:, 0], clips[:, 0]]).tolist()) == dict.fromkeys(range(96), 3)
    steps = np.diff(clips, axis=1)
    assert (steps == steps[:, :1]).all() and (clips // 24 == clips[:, :1] // 24).all()
    distances = np.abs(steps[:, 0])  # eight would need 25 frames of a shot of 24: seven at most, from one of its ends
    assert {1, 2, 4} <= set(distances.tolist()) and distances.max() <= 7 and 0.3 < (steps > 0).mean() < 0.7


def test_a_shot_of_one_frame_is_a_clip_of_itself(films):
    with FrameStore(films[0]) as film:
        sampler = FrameSampler([film], small_recipe(recipe="hybrid", batch_size=8, clips=1))
        sampler._shot_starts = np.arange(14)  # each frame is a shot
        assert all((sampler.indices(step)[::2] == sampler.indices(step)[1::2]).all() for step in range(4))


def test_the_frames_of_a_clip_are_augmented_alike(films):
    """A batch of ten is a single frame and three clips of three; of seven frames that are to be augmented, two clips are."""
    recipe = small_recipe(recipe="hybrid", batch_size=10, clips=1, clip_length=3, augment=0.75)
    with FrameStore(films[0]) as film:
        augmentations = FrameSampler([film], recipe).load(0, 9).augmentations
    single, clips = augmentations[:1], augmentations[1:].unflatten(0, (2, 3))
    assert (clips == clips[:, :1]).all() and not (clips[0, 0] == clips[1, 0]).any() and not (single == clips[0, 0]).any()


def test_a_batch_holds_the_frames_that_its_numbers_say(films):
    with FrameStore(films[0]) as one, FrameStore(films[1]) as two:
        sampler = FrameSampler([one, two], small_recipe(batch_size=8, seed=3))
        both = np.concatenate([one[:], two[:]])
        for step in range(4):
            assert np.array_equal(sampler.load(step, 100).frames.numpy(), both[sampler.indices(step)])


def test_a_step_is_a_function_of_seed_and_step_alone(films):
    with FrameStore(films[0]) as film:
        one, again, other = (FrameSampler([film], small_recipe(seed=seed)) for seed in (0, 0, 1))
        again.load(7, 100)
        a, b, c, d = one.load(5, 100), again.load(5, 100), other.load(5, 100), one.load(6, 100)
    assert all(torch.equal(getattr(a, part), getattr(b, part)) for part in ("frames", "noise", "prior"))
    assert not torch.equal(a.noise, c.noise) and not torch.equal(a.noise, d.noise) and not torch.equal(a.noise, a.prior)


def test_prefetching_keeps_the_order_and_passes_errors_on():
    assert list(prefetch(range(3, 20), 3)) == list(range(3, 20)) and list(prefetch([], 3)) == []

    def broken():
        yield from range(5)
        raise RefilmError("the disk is gone")

    results = []
    with pytest.raises(RefilmError, match="the disk is gone"):
        for item in prefetch(broken(), 3):
            results.append(item)
    assert results == list(range(5))


def test_the_batches_of_a_training_are_those_of_its_steps(films):
    with FrameStore(films[0]) as film:
        sampler = FrameSampler([film], small_recipe())
        batches = list(sampler.batches(3, 9))
        assert len(batches) == 6
        for step, batch in enumerate(batches, 3):
            assert all(torch.equal(a, b) for a, b in zip(batch.tensors(), sampler.load(step, 9).tensors(), strict=True))


def test_six_epochs_of_a_feature_film_are_84240_steps():
    assert small_recipe(epochs=6, batch_size=12).total_steps(168_480) == 84_240
    assert small_recipe(epochs=0.5, batch_size=12).total_steps(25) == 2


def test_learning_rate_rises_then_falls_to_a_hundredth():
    recipe = small_recipe(learning_rate=1, warmup=0.1)
    rates = [learning_rate(recipe, step, 1000) for step in range(1000)]
    assert rates[0] < 0.02 and max(rates) == pytest.approx(1.0, abs=0.01) and 90 <= rates.index(max(rates)) <= 110
    assert rates[-1] == pytest.approx(0.01, abs=1e-4) and rates[110:] == sorted(rates[110:], reverse=True)


def test_previews_come_densely_first_and_at_the_end():
    steps = sorted(preview_steps(84_240))
    assert steps[-1] == 84_240 and len(steps) == 40 and steps[1] - steps[0] < steps[-1] - steps[-2]
    assert preview_steps(1) == {1}


# --- what training does


@pytest.mark.parametrize("name", RECIPES)
def test_every_parameter_of_every_network_learns(films, tmp_path, name):
    recipe = recipe_named(name, steps=3)
    before = Trainer(recipe, CPU).model.state_dict()
    after = train(recipe, films, tmp_path / "model", CPU).model.state_dict()
    still = [key for key in before if torch.equal(before[key], after[key])]
    assert still == []


def test_it_learns_the_film(tmp_path):
    """A film of four pictures is soon reconstructed better than by its mean, by every recipe."""
    pictures = np.random.default_rng(1).integers(0, 256, (4, 6, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    write_frames_from(tmp_path / "four.h5", 64, 48, FrameMetadata(Fraction(24)), [pictures])
    blind = np.square(pictures - pictures.mean(0)).mean()
    for name in ("larsen2015", "vae", "autoencoder", "hybrid"):
        recipe = recipe_named(name, steps=150, learning_rate=0.003, base_channels=16, augment=0)
        trainer = train(recipe, [tmp_path / "four.h5"], tmp_path / name, CPU)
        with FrameStore(tmp_path / "four.h5") as film:
            reconstruction = reconstruct_frames(trainer.ema, film, range(4))
        assert np.square(reconstruction.astype(float) - pictures).mean() < 0.35 * blind, name


def save_every(steps, monkeypatch):
    """Write a row and a checkpoint after so many steps each."""
    monkeypatch.setattr(recorder, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(recorder, "_CHECKPOINT_SHARE", 1e9)
    monkeypatch.setattr(loop, "REPORT_STEPS", steps)


PAIRS = {"recipe": "hybrid", "augment": 0.5, "clips": 1.0, "discriminator_frames": 2}
TRIPLETS = {"augment": 0.5, "clips": 0.75, "clip_length": 3, "straighten_weight": 0.1}


@pytest.mark.parametrize("values", [{}, {"recipe": "hybrid", "augment": 0.5}, PAIRS, TRIPLETS], ids=str)
def test_killed_at_any_step_it_ends_in_the_same_weights(films, tmp_path, monkeypatch, values):
    """`hybrid` begins its second stage after step 4, and frames are augmented until step 11."""
    recipe = small_recipe(steps=12, **values)
    whole = weights(train(recipe, films, tmp_path / "whole", CPU))
    save_every(2, monkeypatch)
    real_step = Trainer.train_step

    for killed_before in (1, 2, 5, 6, 11):
        folder = tmp_path / f"killed-{killed_before}"

        def dying(self, batch, total, limit=killed_before):
            if self.step == limit:
                raise MemoryError("killed")
            return real_step(self, batch, total)

        monkeypatch.setattr(Trainer, "train_step", dying)
        with pytest.raises(MemoryError):
            train(recipe, films, folder, CPU)
        monkeypatch.setattr(Trainer, "train_step", real_step)
        assert same(weights(train(recipe, films, folder, CPU)), whole), killed_before
        with open(folder / "training.csv") as file:
            assert [int(row["step"]) for row in csv.DictReader(file)] == [2, 4, 6, 8, 10, 12]


class KeptModels(TrainingCallbacks):
    """The weights that a training keeps, by their steps."""

    def __init__(self, *steps):
        self.keep, self.kept = steps, {}

    def on_keep(self, step, model):
        self.kept[step] = {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_a_model_is_kept_as_a_shorter_training_of_constant_rate_ends(films, tmp_path):
    kept, values = KeptModels(5, 12, 99), {"lr_schedule": "constant", "warmup": 0}
    train(small_recipe(steps=12, **values), films, tmp_path / "long", CPU, kept)
    short = train(small_recipe(steps=5, **values), films, tmp_path / "short", CPU)
    assert kept.kept.keys() == {5, 12} and same(kept.kept[5], short.ema.state_dict())


@pytest.mark.parametrize("killed_before", [4, 5, 6, 7])
def test_killed_around_a_step_that_is_kept_it_is_kept_all_the_same(films, tmp_path, monkeypatch, killed_before):
    """By the first process, by the second, or by both of them, who then agree; and keeping changes no weight."""
    recipe, once, again = small_recipe(steps=10), KeptModels(5), KeptModels(5)
    plain = weights(train(recipe, films, tmp_path / "plain", CPU))
    assert same(weights(train(recipe, films, tmp_path / "whole", CPU, once)), plain)
    save_every(1, monkeypatch)
    real_step = Trainer.train_step

    def dying(self, batch, total):
        if self.step == killed_before:
            raise MemoryError("killed")
        return real_step(self, batch, total)

    monkeypatch.setattr(Trainer, "train_step", dying)
    with pytest.raises(MemoryError):
        train(recipe, films, tmp_path / "model", CPU, again)
    monkeypatch.setattr(Trainer, "train_step", real_step)
    assert same(weights(train(recipe, films, tmp_path / "model", CPU, again)), plain)
    assert same(again.kept[5], once.kept[5])


def test_weights_that_are_not_finite_are_not_kept(films, tmp_path, monkeypatch):
    kept, real_step = KeptModels(2), Trainer.train_step

    def breaking(self, batch, total):
        real_step(self, batch, total)
        with torch.no_grad():
            self.ema.encoder.head.bias.fill_(float("nan"))

    monkeypatch.setattr(Trainer, "train_step", breaking)
    train(small_recipe(steps=3), films, tmp_path / "model", CPU, kept)
    assert kept.kept == {}


@pytest.fixture
def initial(films, tmp_path):
    """A trained model from which others start."""
    return train(small_recipe(steps=4, seed=5), films, tmp_path / "initial", CPU).ema


def test_it_starts_from_the_weights_of_another_model(films, tmp_path, initial):
    recipe = small_recipe(steps=1, learning_rate=1e-12)
    trainer = train(recipe, films, tmp_path / "model", CPU, initial=initial)
    for model in (trainer.model, trainer.ema):
        for name, tensor in model.state_dict().items():
            assert torch.allclose(tensor, initial.state_dict()[name], rtol=0, atol=1e-8), name


def test_killed_it_continues_its_own_training_and_not_from_the_other_model(films, tmp_path, monkeypatch, initial):
    recipe = small_recipe(steps=6)
    whole = weights(train(recipe, films, tmp_path / "whole", CPU, initial=initial))
    assert not same(whole, weights(train(recipe, films, tmp_path / "alone", CPU)))
    save_every(1, monkeypatch)
    real_step = Trainer.train_step

    def dying(self, batch, total):
        if self.step == 3:
            raise MemoryError("killed")
        return real_step(self, batch, total)

    monkeypatch.setattr(Trainer, "train_step", dying)
    with pytest.raises(MemoryError):
        train(recipe, films, tmp_path / "model", CPU, initial=initial)
    monkeypatch.setattr(Trainer, "train_step", real_step)
    assert same(weights(train(recipe, films, tmp_path / "model", CPU, initial=initial)), whole)


def test_the_model_that_a_recipe_starts_from_is_checked_and_named(films, tmp_path, initial):
    file = tmp_path / "initial" / "model.safetensors"
    save_model(file, initial, 4)
    options = ("train_model", "--frames", *films, f"--model={tmp_path / 'next' / 'model.safetensors'}", "--device=cpu")
    wrong, right = (
        small_recipe(steps=2, initial_model=key) for key in ("0123456789ab-4-steps", initial.recipe.training_key())
    )
    for given, recipe in (((f"--initial={file}",), wrong), ((), right)):
        line = refused(command(*options, *given, f"--recipe={recipe.to_json()}"))
        assert "not the model that the recipe starts from" in line and str(recipe.initial_model) in line
    done(command(*options, f"--initial={file}", f"--recipe={right.to_json()}"))
    (record,) = provenance_of(tmp_path / "next" / "model.safetensors")["models"]
    assert record["initial_model"]["recipe"]["seed"] == 5 and record["initial_model"]["steps"] == 4
    printed = done(command("provenance", tmp_path / "next" / "model.safetensors"))
    assert f"initial     initial/{initial.recipe.training_key()}: 4 steps" in printed


def test_prolonging_continues_and_does_not_start_over(films, tmp_path, capsys):
    train(small_recipe(steps=4), films, tmp_path / "model", CPU)
    longer = train(small_recipe(steps=6), films, tmp_path / "model", CPU)
    assert longer.step == 6 and "continues after step 4 of 6" in capsys.readouterr().out


def test_it_says_its_length_first_and_once_how_long_the_rest_will_take(films, tmp_path, capsys, monkeypatch):
    """By the rate of the second row of training.csv: in the first steps the step is compiled."""
    monkeypatch.setattr(loop, "REPORT_STEPS", 2)
    monkeypatch.setattr(recorder, "REPORT_STEPS", 2)
    write, rates = TrainingLog.write, {4: 0.02, 10: 0.01}
    monkeypatch.setattr(
        TrainingLog, "write", lambda log, step, means: write(log, step, means) | {"frames_per_s": rates.get(step, 0.1)}
    )
    train(small_recipe(steps=5), films[:1], tmp_path / "model", CPU)
    first, *_rest, last = capsys.readouterr().out.splitlines()
    assert first.startswith("model: 5 steps of 4 frames (1.5 epochs of 13 frames), base_channels 8, in float32 on ")
    assert last == "model: about 3 min left on this machine; fewer steps or base_channels take less: config/README.md"
    train(small_recipe(steps=13), films[:1], tmp_path / "model", CPU)  # continues after 5: the two steps to 10 count
    out = capsys.readouterr().out
    assert out.count("on this machine") == 1 and out.endswith("model: about 20 min left on this machine\n")


def test_another_recipe_never_mixes_states(films, tmp_path, capsys):
    folder = tmp_path / "model"
    recipe, other = small_recipe(steps=4), small_recipe(steps=4, learning_rate=0.123)
    first = weights(train(recipe, films, folder, CPU))
    fresh = weights(train(other, films, tmp_path / "fresh", CPU))
    assert same(weights(train(other, films, folder, CPU)), fresh)
    assert f"states of other recipes are kept ({recipe.state_key()})" in capsys.readouterr().out
    assert same(weights(train(recipe, films, folder, CPU)), first)  # back again: nothing was lost
    assert "continues after step 4 of 4" in capsys.readouterr().out
    with open(folder / "training.csv") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["4"]


def test_a_shorter_training_is_no_part_of_a_longer(films, tmp_path):
    train(small_recipe(steps=6), films, tmp_path / "model", CPU)
    with pytest.raises(RefilmError, match="trained for 6 steps, and its recipe now has 4"):
        train(small_recipe(steps=4), films, tmp_path / "model", CPU)


def test_without_its_log_a_training_still_ends(films, tmp_path):
    train(small_recipe(steps=4), films, tmp_path / "model", CPU)
    (tmp_path / "model" / "training.csv").write_text("")
    train(small_recipe(steps=6), films, tmp_path / "model", CPU)
    with open(tmp_path / "model" / "training.csv") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["4", "6"]


def test_an_adversary_of_no_weight_trains_on(films, tmp_path):
    assert train(small_recipe(adversarial_ratio=0, steps=20), films, tmp_path / "model", CPU).step == 20


def test_a_damaged_checkpoint_falls_back_to_the_one_before(films, tmp_path, monkeypatch):
    save_every(2, monkeypatch)
    recipe, folder = small_recipe(steps=6), tmp_path / "model"
    whole = weights(train(recipe, films, folder, CPU))
    latest = max((folder / "state").rglob("step-*"))
    latest.write_bytes(latest.read_bytes()[:1000])
    assert same(weights(train(recipe, films, folder, CPU)), whole)
    kept = [load_file(file)["optimiser.encoder.norm_ema"] for file in (folder / "state").rglob("step-*.safetensors")]
    assert len(kept) == 2 and latest.with_suffix(".damaged").exists()


def test_no_two_processes_train_one_model(films, tmp_path):
    """The second one waits, touches nothing, and then finds the model trained."""
    recipe, folder = small_recipe(), tmp_path / "model"
    folder.mkdir()
    (folder / "recipe.json").write_text("that of the other")
    with StateFolder(folder, recipe).locked():
        training = start_training(films, folder, recipe)
        assert training.stdout.readline().endswith("is training this model: waiting for its end\n")
        time.sleep(1.5)  # longer than between two tries
        assert training.poll() is None and (folder / "recipe.json").read_text() == "that of the other"
        trainer = train(recipe, films, folder, CPU)
        save_model(folder / "trained" / f"{recipe.training_key()}.safetensors", trainer.ema, 6)
        trained = (folder / "training.csv").read_text()
    out, stderr = training.communicate()
    assert training.returncode == 0 and "trained before" in out, stderr
    assert (folder / "model.safetensors").resolve() == (folder / "trained" / f"{recipe.training_key()}.safetensors")
    assert (folder / "training.csv").read_text() == trained  # no step was trained twice


def test_one_that_waits_can_be_stopped(films, tmp_path):
    with StateFolder(tmp_path / "model", small_recipe()).locked():
        training = start_training(films, tmp_path / "model", small_recipe())
        training.stdout.readline()
        training.terminate()
        assert training.wait(timeout=10) == 75


def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    locked = StateFolder(tmp_path, small_recipe()).locked()
    with pytest.raises(RefilmError, match=r"does not support locks .*mount it with flock"), locked:
        pass


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(films, tmp_path, monkeypatch):
    save_every(2, monkeypatch)
    real_step = Trainer.train_step

    def breaking(self, batch, total):
        if self.step == 5:
            with torch.no_grad():
                self.model.encoder.head.bias.fill_(float("nan"))
        return real_step(self, batch, total)

    monkeypatch.setattr(Trainer, "train_step", breaking)
    with pytest.raises(RefilmError, match=r"not finite at step 6; the checkpoint after step 4 is in .*lower learning_rate"):
        train(small_recipe(steps=20), films, tmp_path / "model", CPU)
    monkeypatch.setattr(recorder, "_CHECKPOINT_SECONDS", 1000.0)
    with pytest.raises(RefilmError, match=r"not finite at step 6; no checkpoint had been written\. .*lower learning_rate"):
        train(small_recipe(steps=20), films, tmp_path / "other", CPU)
    state = load_file(max((tmp_path / "model" / "state").rglob("step-*")))
    assert all(tensor.isfinite().all() for tensor in state.values())


def test_the_average_is_the_model_and_lags_behind_the_weights(films, tmp_path):
    trainer = train(small_recipe(steps=5, ema_decay=0.9), films, tmp_path / "model", CPU)
    average, last = trainer.ema.state_dict(), trainer.model.state_dict()
    assert not any(torch.equal(average[name], last[name]) for name in average)
    trainer = train(small_recipe(steps=5, ema_decay=0), films, tmp_path / "last", CPU)
    average, last = trainer.ema.state_dict(), trainer.model.state_dict()
    assert all(torch.equal(average[name], last[name]) for name in average)


def test_previews_show_the_same_frames_every_time(films, tmp_path):
    previews = CollectedPreviews()
    train(small_recipe(steps=8), films, tmp_path / "model", CPU, previews)
    shown = previews.collected
    assert [preview.step for preview in shown] == sorted(preview_steps(8)) and shown[-1].total == 8
    assert all(np.array_equal(preview.rows["film"], shown[0].rows["film"]) for preview in shown)
    assert all(preview.rows["reconstruction"].shape == preview.rows["film"].shape for preview in shown)


class ShownNow(TrainingCallbacks):
    """The pictures and clips of now of a training."""

    def __init__(self, *films):
        self.preview_films, self.pictures, self.clips = films, [], []

    def on_now(self, now):
        self.pictures.append(now)

    def on_clip(self, clip):
        self.clips.append(clip)


@pytest.fixture
def always_shown(monkeypatch):
    """The picture and the clip of now are renewed after every step."""
    monkeypatch.setattr(recorder, "PICTURE_SECONDS", 0.0)
    monkeypatch.setattr(recorder, "CLIP_SECONDS", 0.0)
    monkeypatch.setattr(now, "_SHARE", 1e9)


@pytest.mark.parametrize("name", RECIPES)
def test_showing_now_changes_no_weight(films, tmp_path, always_shown, monkeypatch, name):
    shown = ShownNow(films[1])
    looked = weights(train(recipe_named(name, steps=4), films[:1], tmp_path / "shown", CPU, shown))
    assert [picture.step for picture in shown.pictures] == [1, 2, 3, 4]
    assert len(shown.clips) == (0 if name == "dcgan" else 4)
    monkeypatch.setattr(recorder.Recorder, "show_now", lambda self: None)
    assert same(looked, weights(train(recipe_named(name, steps=4), films[:1], tmp_path / "plain", CPU)))


def test_now_shows_other_films_as_the_model_reconstructs_them(films, tmp_path, always_shown):
    shown = ShownNow(films[1])
    trainer = train(small_recipe(steps=2), films[:1], tmp_path / "model", CPU, shown)
    rows = shown.pictures[-1].others["two"]
    with FrameStore(films[1]) as film:
        assert np.array_equal(rows["film"], film.read([2, 6]))  # the middles of its halves
        assert np.array_equal(rows["reconstruction"], reconstruct_frames(trainer.ema, film, [2, 6]))
    assert np.array_equal(shown.pictures[-1].rows["film"], shown.pictures[0].rows["film"])


def test_the_clip_of_now_shows_films_of_any_rate_at_the_same_pace(tmp_path, always_shown):
    """In frame n of a film, every pixel is n: five seconds of 24 frames/s beside as many of 10 frames/s."""
    for name, fps, count in (("own", 24, 200), ("other", 10, 250), ("short", 24, 30)):
        frames = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(48, 1).repeat(64, 2).repeat(3, 3)
        write_frames_from(tmp_path / f"{name}.h5", 64, 48, FrameMetadata(Fraction(fps)), [frames])
    for other, length, first, last in (("other", 120, 100, 149), ("short", 30, 0, 29)):
        shown = ShownNow(tmp_path / f"{other}.h5")
        train(small_recipe(steps=1), [tmp_path / "own.h5"], tmp_path / other, CPU, shown)
        clip = shown.clips[0]
        assert {len(frames) for rows in clip.films.values() for frames in rows.values()} == {length} and clip.fps == 24
        own, numbers = (clip.films[name]["film"][:, 0, 0, 0].tolist() for name in ("own", other))
        assert own == list(range(40, 40 + length))
        assert (numbers[0], numbers[-1]) == (first, last) and numbers == sorted(numbers)


def test_a_picture_that_cannot_be_written_does_not_stop_a_training(films, tmp_path, always_shown, capsys):
    class Failing(ShownNow):
        def on_now(self, now):
            raise OSError(errno.ENOSPC, "No space left on device")

        def on_clip(self, clip):
            raise RefilmError("ffmpeg failed")

    shown = Failing(films[1], tmp_path / "gone.h5")
    assert train(small_recipe(steps=2), films[:1], tmp_path / "model", CPU, shown).step == 2
    out = capsys.readouterr().out
    assert out.count("model: the picture of now was not renewed: ") == 4 and "gone.h5" in out and "ffmpeg failed" in out


def test_what_takes_long_is_made_less_often(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    renewal = now.Renewal(60)
    for cost, interval in ((0.5, 60), (3, 150)):
        clock[0] += 1000
        assert renewal.is_due()
        with renewal.measured():
            clock[0] += cost
        clock[0] += interval - 1
        assert not renewal.is_due()
        clock[0] += 1
        assert renewal.is_due()


@pytest.mark.parametrize("name", ["larsen2015", "broad2016"])
def test_a_preview_shows_what_the_results_show(films, tmp_path, name):
    """Also where the frames of a batch change each other: previews of single frames decode the batches of the results."""
    previews = CollectedPreviews()
    trainer = train(recipe_named(name, steps=3), films, tmp_path / "model", CPU, previews)
    shown = previews.collected
    originals, previewed = shown[-1].rows["film"], shown[-1].rows["reconstruction"]
    results = []
    for path in films:
        with FrameStore(path) as film:
            results.append(
                np.concatenate(list(decode_latents(trainer.ema, np.concatenate([*encode_film(trainer.ema, film)]))))
            )
            results.append(film[:])
    for original, preview in zip(originals, previewed, strict=True):
        (found,) = [
            frame
            for frames, film in ((results[0], results[1]), (results[2], results[3]))
            for frame, own in zip(frames, film, strict=True)
            if np.array_equal(own, original)
        ]
        assert np.array_equal(preview, found)


def test_frames_of_another_size_are_refused(films, tmp_path):
    with pytest.raises(RefilmError, match=r"64x48, but the recipe's frame_size is 64x32"):
        train(small_recipe(frame_size="64x32"), films, tmp_path / "model", CPU)


def test_the_optimiser_meets_every_tensor_in_the_weights_own_order(films, tmp_path):
    """Fused Adam pairs elements by their place in memory: a moment or gradient in another order is another element's."""
    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    other = torch.randn(4, 3, 2, 2)
    assert in_layout_of(weight, other).stride() == weight.stride()
    assert torch.equal(in_layout_of(weight, other), other)
    trainer = train(small_recipe(steps=2), films, tmp_path / "model", CPU)
    again = Trainer(small_recipe(steps=2), CPU)
    again.restore(2, trainer.state())
    for optimiser in again.optimisers.values():
        for weight, moments in optimiser.adam.state.items():
            assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == weight.stride()


# --- the command


def start_training(films, folder, recipe: Recipe) -> Process:
    words = ["--frames", *films, f"--recipe={recipe.to_json()}", f"--model={folder / 'model.safetensors'}", "--device=cpu"]
    return WITH_TORCH.start("refilm.train_model", *words)


UNKILLED = small_recipe(steps=120)


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """The weights of a run that nobody stopped, on the same films."""
    folder = tmp_path_factory.mktemp("unkilled")
    films = [store_of(folder / "one.h5", 13), store_of(folder / "two.h5", 9)]
    process = start_training(films, folder / "model", UNKILLED)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    return load_file(folder / "model" / "model.safetensors")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_process_that_is_stopped_continues(films, tmp_path, sign, unkilled):
    recipe, folder = UNKILLED, tmp_path / "model"
    process = start_training(films, folder, recipe)
    wait_for(lambda: (folder / "training.csv").exists())
    process.send_signal(sign)
    _, stderr = process.communicate()
    if sign == signal.SIGKILL:
        assert process.returncode == -9
    else:
        assert process.returncode == 75 and "the same command continues" in stderr
        assert list((folder / "state").rglob("step-*"))
    assert not (folder / "model.safetensors").exists()
    process = start_training(films, folder, recipe)
    out, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert sign == signal.SIGKILL or "continues after step" in out
    assert same(load_file(folder / "model.safetensors"), unkilled)


def test_ended_at_fifty_random_moments_it_ends_in_the_same_weights(tmp_path):
    """By KILL, by TERM and by a disk that takes no state, in turn as chance has it."""
    words = [sys.executable, "-m", "tests.integration.kill_training", str(tmp_path), "50", "1"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["ended"]) == 50 and set(found["ended"]) == {"KILL", "TERM", "disk"} and found["same"]
    assert (
        found["kept"] == sorted(found["kept"]) and len(set(found["kept"])) > 15
    )  # it went on in between, and lost no state


def test_the_model_holds_its_recipe_and_no_code(films, tmp_path):
    recipe, folder = small_recipe(steps=2), tmp_path / "model"
    assert start_training(films, folder, recipe).wait() == 0
    header = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(header[:8], "little")
    metadata = json.loads(header[8 : 8 + size])["__metadata__"]
    assert Recipe.from_json(metadata["recipe"]) == recipe and metadata["steps"] == "2"
    assert json.loads((folder / "recipe.json").read_text()) == json.loads(recipe.to_json())
    assert (folder / "training.png").stat().st_size > 1000
    assert {file.name for file in (folder / "previews").iterdir()} == {"now.png", "step-000000001.png", "step-000000002.png"}


def test_bad_recipes_are_refused_in_one_line(films, tmp_path):
    values = json.loads(small_recipe().to_json())
    for change, words in (
        ({"learnin_rate": 1}, "did you mean 'learning_rate'"),
        ({"frame_size": "64x50"}, "nearest is 64x48"),
    ):
        done = command(
            "train_model",
            "--frames",
            *films,
            f"--recipe={json.dumps(values | change)}",
            f"--model={tmp_path / 'm.safetensors'}",
        )
        assert words in refused(done)
