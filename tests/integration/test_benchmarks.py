"""What the benchmarks are made of, on small data. `make bench` measures the figures."""

import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import common, peers
from benchmarks.common import default_recipe
from benchmarks.gpu import operations_per_frame
from benchmarks.quality.frames import Part, measured
from benchmarks.quality.linear import LinearCode
from benchmarks.quality.measure import measure
from benchmarks.quality.st_lpips import StLpips
from benchmarks.quality.style import Style
from benchmarks.shots import TRUTH, match_cuts
from refilm.core.errors import RefilmError
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.models.model_file import save_model
from refilm.models.registry import build_model
from tests.conftest import config

CPU = torch.device("cpu")

BARE = ["yaml", "jsonschema", "ffmpeg", "imageio_ffmpeg", "snakemake"]  # what a bare GPU machine does not have
BARE_START = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({BARE}))  # importing any of them raises ImportError
sys.argv = ["{{module}}", *{{words}}]
runpy.run_module("{{module}}", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("training", [{}, {"steps": 5, "base_channels": 8}, {"epochs": 2, "seed": 3}, {"recipe": "vae"}])
def test_the_recipe_of_a_benchmark_is_that_of_the_configuration(training):
    films = {"film": {"source": "film"}}
    made = config(films=films, models={"model": {"films": ["film"], **training}}).recipe("model")
    assert default_recipe(**training) == made


# --- quality


def rank(count: int, values: int) -> np.ndarray:
    """Frames (n, 48, 64, 3) that lie near to a subspace whose dimensions fade slowly."""
    random = np.random.default_rng(0)
    strengths = 400 / np.sqrt(1 + np.arange(values))
    flat = 128 + (random.normal(size=(count, values)) * strengths) @ random.normal(size=(values, 48 * 64 * 3)) / 90
    return np.clip(np.round(flat), 0, 255).astype(np.uint8).reshape(count, 48, 64, 3)


def test_the_linear_code_is_the_best_there_is(tmp_path):
    """Against the exact singular value decomposition: no other code of 20 numbers has less squared error."""
    frames = rank(300, 80)
    write_frames_from(tmp_path / "f.h5", 64, 48, FrameMetadata(Fraction(24)), [frames])
    with FrameStore(tmp_path / "f.h5") as film:
        code = LinearCode(film, 20, CPU)
        recon = np.concatenate(list(code.reconstruct(film, 32)))
    assert torch.allclose(code.components.T @ code.components, torch.eye(20), atol=1e-4)
    flat = frames.reshape(300, -1).astype(np.float64)
    centred = flat - flat.mean(0)
    found = centred @ code.components.double().numpy()
    least = np.square(np.linalg.svd(centred, compute_uv=False)[20:]).sum()
    assert np.square(centred).sum() - np.square(found).sum() == pytest.approx(least, rel=1e-3)
    exact = np.clip(np.round(found @ code.components.double().numpy().T + flat.mean(0)), 0, 255).reshape(frames.shape)
    assert np.abs(recon.astype(int) - exact.astype(int)).max() <= 1


def test_a_short_film_has_no_more_components_than_frames(tmp_path):
    frames = rank(5, 80)
    write_frames_from(tmp_path / "f.h5", 64, 48, FrameMetadata(Fraction(24)), [frames])
    with FrameStore(tmp_path / "f.h5") as film:
        code = LinearCode(film, 200, CPU)
        assert code.components.shape[1] == 4 and np.array_equal(next(code.reconstruct(film, 5)), frames)


def test_the_operations_of_a_step_can_be_counted():
    """58.0 GFLOP a frame at the defaults, gradients included: what the share of a GPU's rate is of."""
    assert operations_per_frame(default_recipe()) == pytest.approx(58.0e9, rel=1e-3)


def test_frames_are_measured_in_stretches_over_the_whole_film():
    numbers = np.arange(1000) + 5
    assert np.array_equal(measured(numbers, 1000), numbers)
    some = measured(numbers, 300)
    assert len(some) == 256 and some[0] < 150 and some[-1] > 850 and np.isin(some, numbers).all()
    assert (np.diff(some) == 1).sum() == 252


def part(tmp_path, frames: np.ndarray, continuous=None) -> Part:
    write_frames_from(tmp_path / "p.h5", 64, 48, FrameMetadata(Fraction(24)), [frames])
    joined = np.ones(len(frames) - 1, bool) if continuous is None else continuous
    return Part(tmp_path / "p.h5", np.arange(len(frames)), joined)


def measured_values(part: Part, recon: list[np.ndarray]) -> dict:
    return measure(part, recon, None, Style(part.path, CPU), CPU)


def test_the_measures_are_their_definitions(tmp_path):
    random = np.random.default_rng(1)
    film = random.integers(20, 200, (70, 48, 64, 3), dtype=np.uint8)
    recon = film + 10
    recon[32:] += 20  # jumps where the second batch of 32 begins
    cut = np.ones(69, bool)
    found = measured_values(part(tmp_path, film, cut), np.split(recon, [32, 64]))
    errors = np.where(np.arange(70) < 32, 10.0, 30.0)
    psnr = 20 * np.log10(255 / errors)
    assert found["psnr"] == pytest.approx(psnr.mean(), abs=1e-3) and found["psnr_worst"] == pytest.approx(psnr[-1], abs=1e-3)
    assert found["psnr_pooled"] == pytest.approx(10 * np.log10(255**2 / (errors**2).mean()), abs=1e-3)
    assert found["sharpness"] == pytest.approx(1, abs=1e-4) and found["colour"] == pytest.approx(errors.mean(), abs=1e-3)
    assert found["brightness"] == found["brightness_bias"] == found["colour"] and found["composition"] == 1
    assert found["temporal"] == pytest.approx(20 / 69, abs=1e-3) and found["frames"] == 70 and found["st_lpips"] is None
    assert 0.5 < found["motion"] < 0.99
    cut[31] = False  # a cut there: the jump is none of motion
    beside = measured_values(part(tmp_path, film, cut), np.split(recon, [32, 64]))
    assert beside["temporal"] == 0 and beside["motion"] == 1
    darker = measured_values(part(tmp_path, film), [film - 8])
    assert (darker["brightness"], darker["brightness_bias"]) == (8, -8)


def test_static_pairs_are_those_of_the_film_that_change_a_little_within_a_shot(tmp_path):
    """Of a static film's pixels one in a hundred changes by 60 levels in each frame: 0.6 levels in the mean."""
    random = np.random.default_rng(0)
    still = random.integers(60, 120, (48, 64, 3), dtype=np.uint8)
    film = np.repeat(still[None], 40, axis=0)
    for n in range(20):  # then as much as still
        film[n].reshape(-1)[random.permutation(film[n].size)[: film[n].size // 200]] += 60
    film[30:] = 255 - film[30:]  # a cut
    continuous = np.arange(39) != 29
    whole = measured_values(part(tmp_path, film, continuous), [film])
    assert whole["static_pairs"] == 20 and (whole["static_kept"], whole["static_along"]) == (1, 1)
    halfway = np.round(still + (film[:30].astype(float) - still) / 2).astype(np.uint8)
    half = measured_values(part(tmp_path, film, continuous), [halfway, film[30:]])
    assert half["static_kept"] == pytest.approx(0.5) and half["static_along"] == pytest.approx(1)
    frozen = measured_values(part(tmp_path, film, continuous), [np.repeat(still[None], 30, axis=0), film[30:]])
    assert (frozen["static_kept"], frozen["static_along"], frozen["motion"]) == (0, 0, 0)


def test_what_an_even_still_film_has_no_value_for_is_none(tmp_path):
    film = np.full((8, 48, 64, 3), 16, np.uint8)
    found = measured_values(part(tmp_path, film), [film])
    missing = {"composition", "motion", "static_kept", "static_along", "boundary", "st_lpips"}
    assert {name for name, value in found.items() if value is None} == missing and found["style"] == 0


def test_flicker_between_batches_shows_in_the_boundary_ratio(tmp_path):
    film = np.zeros((128, 48, 64, 3), np.uint8)
    recon = film + np.arange(128, dtype=np.uint8)[:, None, None, None] % 2  # 1 grey level from frame to frame
    recon[32:64] += 5
    found = measured_values(part(tmp_path, film), np.split(recon, 4))
    assert found["boundary"] == pytest.approx((4 + 6 + 1) / 3, abs=0.01)


def test_st_lpips_is_what_its_authors_package_gives():
    """The reference value is that of stlpips_pytorch 0.0.2's own code on these two pictures."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (1, 9, 16, 3), dtype=np.uint8)
    film = torch.from_numpy(np.kron(coarse, np.ones((1, 8, 8, 1), np.uint8)))
    noisy = (film.float() + torch.from_numpy(random.normal(0, 20, film.shape)).float()).round().clamp(0, 255).byte()
    unlike = StLpips(CPU)
    assert unlike(film, noisy).item() == pytest.approx(0.01495, rel=1e-3) and unlike(film, film).item() == 0


def test_a_missing_package_for_st_lpips_is_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(RefilmError, match=r"pip install stlpips-pytorch"):
        StLpips(CPU)


def benchmark(module: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", BARE_START.format(module=module, words=list(map(str, arguments)))]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_gpu_benchmark_runs_on_a_bare_machine(tmp_path):
    done = benchmark("benchmarks.gpu", "--dry", "--json", tmp_path / "gpu.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "gpu.json").read_text())
    assert figures["gradient_error"] < 1e-4 and list(figures["batches"]) == ["4"]
    assert all(figures[name] > 0 for name in ("step_s", "from_disk", "step_not_compiled_s", "gflop_per_frame"))


def test_quality_runs_on_a_bare_machine_and_measures_each_recipe(tmp_path):
    done = benchmark("benchmarks.quality", "--dry", "--recipes", "larsen2015", "vae:noise=0.5", "--out", tmp_path / "q")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "q" / "quality.json").read_text())
    assert list(results["models"]) == ["larsen2015", "vae:noise=0.5", "pca", "even"]
    assert results["models"]["vae:noise=0.5"]["recipe"]["noise"] == 0.5
    for model in results["models"].values():
        assert set(model["parts"]) == {"seen", "held out", "never seen: other"}
        assert all(part["psnr"] > 0 and part["st_lpips"] is not None for part in model["parts"].values())
    assert results["models"]["pca"]["parts"]["seen"]["psnr"] > 25  # 16 components of 72 simple frames
    assert results["film"]["held_out"] == results["models"]["pca"]["parts"]["held out"]["frames"] == 24
    for name in results["film"]["style"]:  # each frame's mean colour has nothing but that
        even = results["models"]["even"]["parts"][name]
        assert (even["composition"], even["sharpness"]) == (0, 0) and even["brightness"] < 0.5 and even["colour"] <= 0.5
        assert even["style"] > results["film"]["style"][name]
    of_pca = results["models"]["pca"]["parts"]
    assert of_pca["seen"]["composition"] > 0.99 and of_pca["seen"]["style"] < of_pca["held out"]["style"]
    latents = results["models"]["larsen2015"]["bits_per_pixel"]["latents"]
    assert latents == pytest.approx(32 * 16 / (64 * 48), abs=1e-3)
    assert done.stdout.count("| `larsen2015` |") == 3 * 2 + 1 and "**seen**: the answer (" in done.stdout
    assert (
        done.stdout.count("| the film | 1.000 | 1.000 | 1.000 | 1.000 | 0.00 | 0.00 | 0.00 | ") == 3
        and "**never seen: other** (96 frames)" in done.stdout
    )
    assert Image.open(tmp_path / "q" / "quality.png").width > 4 * 64
    again = benchmark("benchmarks.quality", "--table", tmp_path / "q" / "quality.json")
    assert done.stdout.endswith(again.stdout)  # the report, after the output of each training
    assert again.stdout.startswith("made: 96 frames")


def test_quality_measures_trained_models_and_says_which_saw_the_held_out_frames(tmp_path):
    walls = np.random.default_rng(0).integers(0, 256, (4, 1, 3, 4, 3))  # four shots of 24 frames
    frames = np.kron(walls, np.ones((1, 24, 16, 16, 1), int)).astype(np.uint8).reshape(96, 48, 64, 3)
    film = part(tmp_path, frames).path
    values = {"base_channels": 8, "latent_dim": 16, "precision": "float32", "recipe": "vae", "steps": 7}
    for name, own in {"apart": {"holdout_fraction": 0.3}, "all": {}, "large": {"frame_size": "128x80"}}.items():
        recipe = default_recipe(**{"frame_size": "64x48", **values, **own})
        save_model(tmp_path / f"{name}.safetensors", build_model(recipe), 7)
    models = [f"{name}={tmp_path / name}.safetensors" for name in ("apart", "all", "large")]
    words = ("--film", film, "--holdout", "0.3", "--st-lpips", "none", "--out", tmp_path / "q", "--models")
    done = benchmark("benchmarks.quality", *words, *models[:2], "--search", "2")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "q" / "quality.json").read_text())
    names = ["apart", "all", "apart, search 2", "all, search 2", "pca", "even"]
    assert list(results["models"]) == names and "Nothing was trained." in done.stdout
    seen = {name: results["models"][name]["parts"]["seen"]["psnr"] for name in names}
    assert seen["apart, search 2"] > seen["apart"] and seen["all, search 2"] > seen["all"]
    (note,) = results["notes"]
    assert note.startswith("`all` was trained with `holdout_fraction` 0 and seed 0") and note in done.stdout
    assert all(model["seconds"] is None for name, model in results["models"].items() if name != "pca")
    refused = benchmark("benchmarks.quality", *words, *models)
    assert refused.returncode == 1 and "large: its frames are 128x80" in refused.stderr
    twice = benchmark("benchmarks.quality", *words, models[0], models[0])
    assert twice.returncode == 1 and "apart is given twice" in twice.stderr
    assert "write NAME=path" in benchmark("benchmarks.quality", *words, "vae").stderr


# --- shots


def test_a_cut_is_matched_with_one_detection_the_nearest():
    cuts = [100, 103, 200]
    assert match_cuts([100, 103, 199], cuts, 0) == [(100, 100), (103, 103)]
    assert sorted(match_cuts([99, 101, 102, 199], cuts, 1)) == [(99, 100), (102, 103), (199, 200)]
    assert match_cuts([101, 200, 201], [200], 1) == [(200, 200)]
    assert match_cuts([], cuts, 1) == []


def test_the_listed_cuts_are_frames_of_their_films_outside_the_gradual_transitions():
    for film in json.loads(TRUTH.read_text()).values():
        edges = sorted([*film["cuts"], *(n for transition in film["gradual"] for n in transition)])
        assert film["cuts"] == sorted(set(film["cuts"])) and edges[0] > 0 and edges[-1] < film["frames"]
        assert not any(first <= cut <= last for cut in film["cuts"] for first, last in film["gradual"])
        assert len(film["sha256"]) == 64


# --- peers


def test_the_peers_take_whole_steps_of_the_same_networks(capsys):
    faster = peers.main(width=8, batch=2, rounds=2, size="64x48", device="cpu")
    assert set(faster) == {"pythae", "naive"} and all(ratio > 0 for ratio in faster.values())
    output = capsys.readouterr().out
    assert "times as fast as pythae (rounds: " in output and "width 8, batch 2, 64x48, 2 rounds" in output


def test_pythaes_own_step_trains_all_three_networks(tmp_path):
    """Its equilibrium leaves none of them out, or the comparison would be with half a step."""
    recipe = default_recipe(base_channels=8, batch_size=2, frame_size="64x48", precision="float32", gamma=500.0)
    model = build_model(recipe)
    step = peers.pythae_steps(model, CPU, common.random_batch(recipe), 2, str(tmp_path))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    step()
    assert all(not torch.equal(weight, before[name]) for name, weight in model.named_parameters())
