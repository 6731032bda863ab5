"""What jobs ask for: it grows with the film and the networks, and it is enough for what the networks take."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from refilm.config.configuration import Config
from refilm.config.recipes import RECIPES
from refilm.models.registry import build_model
from refilm.planning.resources import JobResources, gpu_threads, weights_mb
from tests.conftest import config
from tests.models import recipe_named

GB = 10**9
FEATURE = 170_000  # frames of two hours


@pytest.fixture
def feature(tmp_path) -> SimpleNamespace:
    """The files of a feature film at the default size, without contents: Linux and macOS give them no room on the disk."""
    sizes = {"frames": (1 << 20) + FEATURE * 256 * 144 * 3, "latents": FEATURE * 200 * 4, "source": 8 * GB}
    for name, size in sizes.items():
        with open(tmp_path / name, "wb") as file:
            file.truncate(size)
    return SimpleNamespace(**{name: str(tmp_path / name) for name in sizes})


def needs(**sections) -> JobResources:
    return JobResources(config(**sections))


PAIR = SimpleNamespace(film="bikes", model="bikes")


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("values", [{}, {"base_channels": 40, "frame_size": "256x144"}, {"latent_dim": 200}])
def test_the_estimate_of_the_weights_is_enough_and_not_far_from_it(name, values):
    recipe = recipe_named(name, **{"base_channels": 24} | values)
    actual = sum(tensor.numel() * tensor.element_size() for tensor in build_model(recipe).state_dict().values()) / 1e6
    assert actual <= weights_mb(recipe) <= 4 * actual


@pytest.mark.parametrize(
    ("cores", "gpus", "threads"), [(2, 1, 2), (2, 2, 1), (16, 2, 8), (64, 4, 16), (1, 4, 1), (8, None, 8), (None, None, 16)]
)
def test_jobs_on_all_gpus_fit_the_cores(cores, gpus, threads):
    assert gpu_threads(cores, gpus) == threads


@pytest.mark.parametrize(
    ("cores", "on_cpu", "frames", "expected"),
    [
        (8, True, 700, (2, 0)),  # short: four at once
        (2, True, 700, (1, 0)),
        (2, True, FEATURE, (2, 1)),
        (2, True, None, (2, 1)),  # not there yet
        (8, False, 700, (8, 1)),  # on a GPU, or on a cluster
    ],
)
def test_short_jobs_run_at_once_on_a_cpu(cores, on_cpu, frames, expected, tmp_path):
    given = SimpleNamespace(frames=str(tmp_path / "frames"))
    if frames:
        with open(given.frames, "wb") as file:
            file.truncate((1 << 20) + frames * 256 * 144 * 3)
    asked = JobResources(config(), cores, on_cpu)
    runtime = asked.encode_runtime
    assert (asked.threads(runtime)(PAIR, given), asked.gpu(runtime)(PAIR, given)) == expected


def test_a_feature_film_is_given_the_time_that_was_measured_and_a_second_attempt_twice_that(feature):
    """170,000 frames at 210, 135 and 70 frames/s take 13, 21 and 40 minutes."""
    given = SimpleNamespace(frames=feature.frames, latents=feature.latents)
    for method, minutes in (("encode_runtime", 13), ("render_runtime", 21), ("measure_runtime", 40)):
        first = getattr(needs(), method)(PAIR, given, attempt=1)
        assert 2 * minutes <= first <= 2 * minutes + 40
        assert getattr(needs(), method)(PAIR, given, attempt=2) == pytest.approx(2 * first, abs=2)


def test_exports_are_given_disk_time_and_memory_by_their_pixels_and_codec(feature):
    """A frame of 3840x2160 as PNG took 3.8 MB, of 1920x1080 as HEVC 0.007 MB at 0.4 million pixels per second."""
    shown = {"film": "bikes", "model": "bikes"}
    exports = {
        "large": shown | {"codec": "png"},
        "half": shown | {"codec": "png", "height": 1080},
        "hevc": shown | {"codec": "hevc"},
    }
    asked, given = needs(exports=exports), SimpleNamespace(latents=feature.latents)
    large, half, hevc = (SimpleNamespace(export=name) for name in exports)
    assert asked.export_disk_mb(large, given) == pytest.approx(4 * asked.export_disk_mb(half, given), rel=0.01)
    assert asked.export_disk_mb(large, given) > 1.5 * FEATURE * 3.8 > asked.export_disk_mb(hevc, given)
    assert asked.export_runtime(hevc, given, attempt=1) > 2 * asked.export_runtime(large, given, attempt=1)
    assert asked.export_mem_mb(large, attempt=1) > asked.export_mem_mb(half, attempt=1) + 1500
    posters = {name: shown | {"dpi": dpi} for name, dpi in (("fine", 300), ("coarse", 150))}
    fine, coarse = (needs(posters=posters).poster_mem_mb(SimpleNamespace(poster=name), attempt=1) for name in posters)
    assert fine - coarse > 300  # two copies of 7016x9933 pixels, or of a quarter of that


def test_latent_search_is_given_time_for_each_of_its_steps(feature):
    """Two units of work, a pass of the decoder each way, where a frame in a training step takes 20: 168 frames/s with 10
    steps, or 17 minutes, if those are 180."""
    given = SimpleNamespace(frames=feature.frames)
    plain, ten, twenty = (
        needs(reconstruction={"search": steps}).encode_runtime(PAIR, given, attempt=1) for steps in (0, 10, 20)
    )
    assert ten - plain == pytest.approx(2 * 17, abs=2) and twenty - ten == pytest.approx(ten - plain, abs=2)


def test_a_training_is_given_time_by_its_frames_and_memory_by_its_networks(feature):
    """Six epochs of a feature are 1,020,000 frames: 94 minutes at 180 a second."""
    given = SimpleNamespace(frames=[feature.frames])
    assert 2 * 94 <= needs().train_runtime(PAIR, given, attempt=1) <= 2 * 94 + 40
    two = SimpleNamespace(frames=[feature.frames] * 2)
    assert needs().train_runtime(PAIR, two, attempt=1) > 1.5 * needs().train_runtime(PAIR, given, attempt=1)
    wide = needs(training={"base_channels": 160})
    assert wide.train_mem_mb(PAIR, attempt=1) > needs().train_mem_mb(PAIR, attempt=1) > 2600  # which was measured
    assert wide.train_runtime(PAIR, given, attempt=1) > 3 * needs().train_runtime(PAIR, given, attempt=1)


def test_walks_are_given_time_by_their_frames(feature):
    walks = {
        "slow": {"film": "bikes", "model": "bikes", "speed": 0.5},
        "back": {"film": "bikes", "model": "bikes", "speed": 0.5, "loop": "return"},
        "short": {"moments": ["bikes@1", "bikes@2"], "model": "bikes"},
    }
    asked, given = needs(walks=walks), SimpleNamespace(latents=[feature.latents])
    slow, back, short = (asked.walk_runtime(SimpleNamespace(walk=name), given, attempt=1) for name in walks)
    film = asked.render_runtime(PAIR, SimpleNamespace(latents=feature.latents), attempt=1)
    assert slow - 30 == pytest.approx(2 * (film - 30), abs=2) and back - 30 == pytest.approx(4 * (film - 30), abs=3)
    assert short < 40 and asked.walk_disk_mb(SimpleNamespace(walk="slow"), given) > 2 * FEATURE * 10_000 / 1e6
    assert asked.network_mem_mb(SimpleNamespace(walk="slow"), attempt=1) == asked.network_mem_mb(PAIR, attempt=1)


def test_bends_are_given_time_for_their_transforms(feature):
    bend = {"film": "bikes", "model": "bikes", "transforms": [{"transform": "flip", "layers": [1]}]}
    asked, given, melting = needs(bends={"b": bend}), SimpleNamespace(latents=feature.latents), SimpleNamespace(bend="b")
    film = asked.render_runtime(PAIR, given, attempt=1)
    assert asked.bend_runtime(melting, given, attempt=1) - 30 == pytest.approx(2 * (film - 30), abs=2)
    assert asked.bend_disk_mb(melting, given) > FEATURE * 10_000 / 1e6
    assert asked.network_mem_mb(melting, attempt=1) == asked.network_mem_mb(PAIR, attempt=1)


def test_what_is_written_fits_the_disk_that_was_asked_for(feature):
    given = SimpleNamespace(frames=feature.frames, latents=feature.latents)
    assert needs().encode_disk_mb(PAIR, given) == 136  # 170,000 x 200 x 4 bytes
    frames_mb = FEATURE * 256 * 144 * 3 / 1e6
    assert needs().extract_disk_mb(SimpleNamespace(size="256x144"), [feature.source]) >= frames_mb
    assert needs().images_disk_mb(SimpleNamespace(size="256x144"), ["image"] * 1000) == pytest.approx(111, abs=1)
    assert needs().train_disk_mb(PAIR) >= 3 * 1064 + 266  # three checkpoints and the model, as measured
    assert needs(training={"keep": [500, 5000]}).train_disk_mb(PAIR) >= needs().train_disk_mb(PAIR) + 2 * 266


def test_the_length_of_a_film_that_is_not_there_yet_is_unknown(tmp_path):
    """Snakemake asks again when the job is ready."""
    given = SimpleNamespace(frames=str(tmp_path / "none.h5"), latents=str(tmp_path / "none.h5"))
    for method in ("encode_runtime", "render_runtime", "measure_runtime"):
        with pytest.raises(FileNotFoundError):
            getattr(needs(), method)(PAIR, given, attempt=1)


def test_a_comparison_holds_all_of_its_models(feature):
    sections = {
        "models": {name: {"films": ["bikes"]} for name in ("bikes", "other")},
        "comparisons": {
            "one": {"film": "bikes", "models": ["bikes"]},
            "two": {"film": "bikes", "models": ["bikes", "other"]},
        },
    }
    one, two = SimpleNamespace(comparison="one"), SimpleNamespace(comparison="two")
    assert isinstance(config(**sections), Config)
    assert needs(**sections).network_mem_mb(two, attempt=1) > needs(**sections).network_mem_mb(one, attempt=1)
    latents = [str(Path(feature.latents))]
    times = [
        needs(**sections).compare_runtime(name, SimpleNamespace(latents=latents * count), attempt=1)
        for count, name in enumerate((one, two), 1)
    ]
    assert times[1] > times[0]
