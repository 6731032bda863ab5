"""What a job needs: threads, memory, time and disk, from the length of the film, the recipe and the attempt.

Snakemake calls the methods of `JobResources` for the resources of a rule. The length is that of files that are there; where
they are not there yet it is unknown (a FileNotFoundError, which Snakemake shows as <TBD>), and asked for again when the job
is ready. docs/scale.md has the figures that were measured, and how.

mem_mb, disk_mb     megabytes; runtime: minutes. A second attempt may take twice as long and twice the memory.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from refilm.config.configuration import Config
from refilm.config.recipe import Recipe
from refilm.core.made_of import FRAMES_OFFSET
from refilm.planning.snakemake_functions import Wildcards

MOST_THREADS = 16
_REFERENCE = (80, 256 * 144)  # base_channels and pixels of the networks that were measured

# Measured with two cores, of the reference networks: frames per second.
_ENCODE, _RENDER, _MEASURE = 210, 135, 70
_TRAIN = 180  # with one GPU: a tenth of what an H100 trains
_SEARCH = 1700  # steps of the latent search, each on one frame: the same, a tenth of the work of a frame that is trained on
_MARGIN = 2  # of time, for slower machines
_START_MINUTES = 30
_SHORT_MINUTES = 1  # besides: of a job that more threads do not speed up
_AT_ONCE = 4  # short jobs, for each of which there should be memory

_PROCESS_MB = 1000  # Python with its libraries
_DEVICE_MB = 3000  # the libraries of a GPU
_ACTIVATION_MB = 1.2  # of one frame in a training step, in float32, for each base channel
_PIXELS_MB = 600  # of a batch of frames through the networks
_SOURCE_MB_PER_SECOND = 2  # of a film file that is decoded, at least
_IMAGES_PER_SECOND = 5  # at least, and for each thread
_LEAST_BIT_RATE = 2e6  # of a film file, by which its length is estimated before it is decoded
_LONGEST_FILM = 4 * 3600  # seconds
_FPS = 30
_MOST_FPS = 60
_PREDICTOR_STEPS = 3  # per second, with two cores
_PREDICTOR_MB = 1000  # of a batch of windows
_VIDEO_BYTES = 0.2  # of a pixel, at the default quality: six times what was measured
_CLIP_BYTES = 30_000  # of a frame of each picture, the same
# Of an export, by codec: pixels per second, four times what was measured with two cores that five other jobs used as well;
# and bytes of a pixel, two to ten times what was measured.
_EXPORT_PIXELS = {"h264": 16e6, "hevc": 2e6, "prores": 20e6, "ffv1": 40e6, "png": 8e6}
_EXPORT_BYTES = {"h264": 0.05, "hevc": 0.03, "prores": 0.5, "ffv1": 1.0, "png": 1.0}
_ENCODER_BYTES = 300  # of memory, for each pixel of a frame
_TABLE_BYTES = 500  # of memory, for each frame that is measured
_CLIP_MB = 2000  # the pictures of 30 seconds at 30 frames per second, twice
_INCH = 25.4  # mm
_STATES = 3 * 4  # three checkpoints, each of four copies of the weights
_FLOAT = 4  # bytes


class Runtime(Protocol):
    """Minutes of a job."""

    def __call__(self, wildcards: Wildcards, input: Any, attempt: int) -> int: ...


def gpu_threads(cores: int | None, gpus: int | None) -> int:
    """Threads for each GPU of a job, such that jobs on all GPUs fit the cores.

    cores, gpus: what Snakemake may use on this machine; no cores on a cluster, whose profile has the limit.
    """
    return MOST_THREADS if cores is None else max(1, min(MOST_THREADS, cores // (gpus or 1)))


class JobResources:
    """The resources of the rules' jobs, by one configuration."""

    def __init__(self, config: Config, threads: int = MOST_THREADS, on_cpu: bool = False):
        """threads: of a job that uses a GPU, or would use one; on_cpu: whether there is none, on this machine."""
        self._config, self._threads, self._on_cpu = config, threads, on_cpu

    # --- short jobs

    @property
    def few_threads(self) -> int:
        """Of a job that spends its time on importing libraries, and on what one thread does: several run at once."""
        return max(1, self._threads // _AT_ONCE)

    def threads(self, runtime: Runtime) -> Callable[[Wildcards, Any], int]:
        """Threads of a job that runs a network: few on a CPU where it is short. runtime: its method of this class."""

        def threads(wildcards: Wildcards, input: Any) -> int:
            return self.few_threads if self._is_short(runtime, wildcards, input) else self._threads

        return threads

    def gpu(self, runtime: Runtime) -> Callable[[Wildcards, Any], int]:
        """GPUs of such a job. Without one, this has the long ones run one after another, and the short ones at once."""

        def gpu(wildcards: Wildcards, input: Any) -> int:
            return 0 if self._is_short(runtime, wildcards, input) else 1

        return gpu

    def _is_short(self, runtime: Runtime, wildcards: Wildcards, input: Any) -> bool:
        try:
            return self._on_cpu and runtime(wildcards, input, 1) <= _START_MINUTES + _SHORT_MINUTES
        except FileNotFoundError:  # the length of the film is not known yet
            return False

    # --- training

    def train_mem_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """The libraries, four copies of the weights and their gradients, a checkpoint, and the frames of a step."""
        recipe = self._config.recipe(wildcards.model)
        step = _ACTIVATION_MB * recipe.batch_size * recipe.base_channels * _pixels(recipe) / _REFERENCE[1]
        return _whole(attempt * (_PROCESS_MB + _DEVICE_MB + 9 * weights_mb(recipe) + step))

    def train_runtime(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By the frames that are shown. A training that is not finished then continues in another job."""
        recipe = self._config.recipe(wildcards.model)
        shown = recipe.batch_size * recipe.total_steps(sum(_frames(file, recipe) for file in input.frames))
        return _minutes(shown / self._config.settings.gpus, _TRAIN, _work(recipe), attempt)

    def train_disk_mb(self, wildcards: Wildcards) -> int:
        """Three checkpoints, the model and what is kept of it, previews."""
        recipe, kept = self._config.recipe(wildcards.model), len(self._config.kept_steps(wildcards.model))
        return _whole((_STATES + 1 + kept) * weights_mb(recipe) + 40 * 16 * 3 * _pixels(recipe) / 1e6)

    def predictor_mem_mb(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """That of the model, and the latents three times."""
        return self.network_mem_mb(wildcards, attempt) + _whole(attempt * (_PREDICTOR_MB + 3 * _megabytes(input.latents)))

    def predictor_runtime(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By its steps. A training that is not finished then continues in another job."""
        recipe = self._config.recipe(wildcards.model)
        steps = self._config.predictor_recipe(wildcards.model).total_steps(
            sum(_rows(file, recipe) for file in input.latents)
        )
        return _whole(attempt * (_START_MINUTES + _MARGIN * steps / _PREDICTOR_STEPS / 60))

    # --- what runs the networks on the frames of a film

    def network_mem_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """The weights, as read and on the device, and a batch."""
        recipe = max((self._config.recipe(model) for model in self._models(wildcards)), key=weights_mb)
        batch = _PIXELS_MB * _pixels(recipe) / _REFERENCE[1] * recipe.base_channels / _REFERENCE[0]
        weights = 2 * sum(weights_mb(self._config.recipe(model)) for model in self._models(wildcards))
        return _whole(attempt * (_PROCESS_MB + _DEVICE_MB + weights + batch))

    def encode_runtime(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By the frames of the film and the steps of the latent search."""
        recipe = self._config.recipe(wildcards.model)
        rate = 1 / (1 / _ENCODE + self._config.reconstruction.search / _SEARCH)
        return _minutes(_frames(input.frames, recipe), rate, _work(recipe), attempt)

    def encode_disk_mb(self, wildcards: Wildcards, input: Any) -> int:
        """The latents."""
        recipe = self._config.recipe(wildcards.model)
        return _whole(_frames(input.frames, recipe) * recipe.latent_dim * _FLOAT / 1e6)

    def render_runtime(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By the rows of the latents."""
        recipe = self._config.recipe(wildcards.model)
        return _minutes(_rows(input.latents, recipe), _RENDER, _work(recipe), attempt)

    def render_disk_mb(self, wildcards: Wildcards, input: Any) -> int:
        """The video."""
        recipe = self._config.recipe(wildcards.model)
        return _whole(_rows(input.latents, recipe) * _pixels(recipe) * _VIDEO_BYTES / 1e6)

    def measure_runtime(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By the rows of the latents."""
        recipe = self._config.recipe(wildcards.model)
        return _minutes(_rows(input.latents, recipe), _MEASURE, _work(recipe), attempt)

    def compare_runtime(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By the frames of the film, decoded by each model and shown beside the original."""
        recipe = self._config.recipe(self._models(wildcards)[0])
        shown = _rows(input.latents[0], recipe) * (1 + len(input.latents))
        return _minutes(shown, _RENDER, _work(recipe), attempt)

    def compare_disk_mb(self, wildcards: Wildcards, input: Any) -> int:
        """The clip."""
        recipe = self._config.recipe(self._models(wildcards)[0])
        return _whole(_rows(input.latents[0], recipe) * (1 + len(input.latents)) * _CLIP_BYTES / 1e6)

    def export_mem_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """That of the network, and of the pictures that an encoder holds."""
        pixels = self._exported_pixels(wildcards)
        return self.network_mem_mb(wildcards, attempt) + _whole(attempt * pixels * _ENCODER_BYTES / 1e6)

    def export_runtime(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By the pixels of all frames."""
        recipe = self._config.recipe(self._models(wildcards)[0])
        rows = _rows(input.latents, recipe)
        rate = _EXPORT_PIXELS[self._config.export(wildcards.export).codec]
        decoding = _minutes(rows, _RENDER, _work(recipe), attempt)
        return decoding + _whole(attempt * _MARGIN * rows * self._exported_pixels(wildcards) / rate / 60)

    def export_disk_mb(self, wildcards: Wildcards, input: Any) -> int:
        """The files."""
        recipe, codec = self._config.recipe(self._models(wildcards)[0]), self._config.export(wildcards.export).codec
        return _whole(_rows(input.latents, recipe) * self._exported_pixels(wildcards) * _EXPORT_BYTES[codec] / 1e6)

    def walk_runtime(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By the frames of the walk, of which none has more than 60 per second between moments."""
        recipe = self._config.recipe(self._config.walk(wildcards.walk).model)
        return _minutes(self._walk_frames(wildcards, input), _RENDER, _work(recipe), attempt)

    def walk_disk_mb(self, wildcards: Wildcards, input: Any) -> int:
        """The video."""
        frames, panes = self._walk_frames(wildcards, input), 1 + bool(self._config.walk(wildcards.walk).nearest_in)
        return _whole(frames * panes * _CLIP_BYTES / 1e6)

    def bend_runtime(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By the rows of the latents; transforms take up to as long as the decoder."""
        recipe = self._config.recipe(self._config.bend(wildcards.bend).model)
        return _minutes(_rows(input.latents, recipe), _RENDER / 2, _work(recipe), attempt)

    def bend_disk_mb(self, wildcards: Wildcards, input: Any) -> int:
        """The video."""
        recipe = self._config.recipe(self._config.bend(wildcards.bend).model)
        return _whole(_rows(input.latents, recipe) * _CLIP_BYTES / 1e6)

    def _walk_frames(self, wildcards: Wildcards, input: Any) -> float:
        walk = self._config.walk(wildcards.walk)
        if walk.moments:
            once = len(walk.moments) * walk.seconds * _MOST_FPS
        else:
            once = _rows(input.latents[0], self._config.recipe(walk.model)) / walk.speed
        return once * (2 if walk.loop == "return" else 1)

    def dream_runtime(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By its seconds."""
        recipe = self._config.recipe(self._models(wildcards)[0])
        return _minutes(self._dream_seconds(wildcards) * _MOST_FPS, _RENDER, _work(recipe), attempt)

    def dream_disk_mb(self, wildcards: Wildcards) -> int:
        """The video."""
        return _whole(self._dream_seconds(wildcards) * _MOST_FPS * _CLIP_BYTES / 1e6)

    def _dream_seconds(self, wildcards: Wildcards) -> float:
        dream = self._config.dream(wildcards.dream)
        return dream.lead + dream.length

    def poster_mem_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """That of the network, and of the page with a copy."""
        return self.network_mem_mb(wildcards, attempt) + attempt * 2 * self.poster_disk_mb(wildcards)

    def poster_disk_mb(self, wildcards: Wildcards) -> int:
        """The page, not compressed."""
        poster = self._config.poster(wildcards.poster)
        return _whole(3 * poster.width * poster.height * (poster.dpi / _INCH) ** 2 / 1e6)

    def findings_mem_mb(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """That of the network, and of the table of all frames, several times."""
        rows = sum(_rows(file, self._config.recipe(wildcards.model)) for file in input.latents)
        return self.network_mem_mb(wildcards, attempt) + _whole(attempt * rows * _TABLE_BYTES / 1e6)

    def clip_mem_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """That of the network, and of the pictures of a GIF."""
        return self.network_mem_mb(wildcards, attempt) + attempt * _CLIP_MB

    # --- films

    def extract_runtime(self, _wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By the size of the film file."""
        return _whole(attempt * (_START_MINUTES + _megabytes(input) / _SOURCE_MB_PER_SECOND / 60))

    def extract_disk_mb(self, wildcards: Wildcards, input: Any) -> int:
        """The frames of a film of the longest that its file can be."""
        seconds = min(_LONGEST_FILM, 8e6 * _megabytes(input) / _LEAST_BIT_RATE)
        return _whole(seconds * _FPS * _area(wildcards.size) * 3 / 1e6)

    def images_runtime(self, _wildcards: Wildcards, input: Any, attempt: int) -> int:
        """By the number of images."""
        return _whole(attempt * (_START_MINUTES + len(input) / _IMAGES_PER_SECOND / 60))

    def images_disk_mb(self, wildcards: Wildcards, input: Any) -> int:
        """A frame for each image."""
        return _whole(len(input) * _area(wildcards.size) * 3 / 1e6)

    def _models(self, wildcards: Wildcards) -> tuple[str, ...]:
        if hasattr(wildcards, "comparison"):
            return tuple(self._config.comparison(wildcards.comparison).models)
        if hasattr(wildcards, "size"):
            return tuple(self._config.shown_models(wildcards.film, wildcards.size))
        if hasattr(wildcards, "walk"):
            return (self._config.walk(wildcards.walk).model,)
        if hasattr(wildcards, "bend"):
            return (self._config.bend(wildcards.bend).model,)
        if hasattr(wildcards, "poster"):
            return (self._config.poster(wildcards.poster).model,)
        if hasattr(wildcards, "dream"):
            return (self._config.dream(wildcards.dream).model,)
        return (self._config.export(wildcards.export).model if hasattr(wildcards, "export") else wildcards.model,)

    def _exported_pixels(self, wildcards: Wildcards) -> float:
        """The pixels of a frame of an export."""
        width, height = self._config.recipe(self._models(wildcards)[0]).size
        return self._config.export(wildcards.export).height ** 2 * width / height


def weights_mb(recipe: Recipe) -> float:
    """The size of a model's weights, or a little more: convolutions, and the layers from and to the latents, or the patterns
    of a linear code."""
    if recipe.spec.linear_code:
        patterns = 2 * (recipe.latent_dim + 2) * 3 * _pixels(recipe) / 1e6
        decoder = 1.5 + 11e-3 * recipe.base_channels**2 + 400 * _pixels(recipe) / 1e6
        return patterns + decoder
    convolutions = 13e-3 * recipe.base_channels**2
    heads = 13.9e-3 * recipe.latent_dim * recipe.base_channels * _pixels(recipe) / _REFERENCE[1]
    return convolutions + heads


def _pixels(recipe: Recipe) -> int:
    return math.prod(recipe.size)


def _area(size: str) -> int:
    return math.prod(int(side) for side in size.split("x"))


def _work(recipe: Recipe) -> float:
    """The work of a frame over that of the reference."""
    return (recipe.base_channels / _REFERENCE[0]) ** 2 * _pixels(recipe) / _REFERENCE[1]


def _frames(file: str, recipe: Recipe) -> int:
    """How many frames a frames file has. Raises FileNotFoundError."""
    return (Path(file).stat().st_size - FRAMES_OFFSET) // (3 * _pixels(recipe))


def _rows(file: str, recipe: Recipe) -> int:
    """How many rows a latents file has. Raises FileNotFoundError."""
    return Path(file).stat().st_size // (_FLOAT * recipe.latent_dim)


def _megabytes(files: Any) -> float:
    return sum(Path(file).stat().st_size for file in files) / 1e6


def _minutes(frames: float, rate: float, work: float, attempt: int) -> int:
    """Time for so many frames at a rate of the reference; smaller networks are not faster than that."""
    return _whole(attempt * (_START_MINUTES + _MARGIN * frames * max(1.0, work) / rate / 60))


def _whole(amount: float) -> int:
    return max(1, math.ceil(amount))
