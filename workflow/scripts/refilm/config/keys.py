"""Every key of config.yaml: its type, default, range and description, written once.

The schema, the tables of config/README.md and the options of commands are made of these classes: `refilm.config.generate`.
The first sentence of a description stands alone in error messages and in --help; the whole of it is for the manual.
"""

import argparse
import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from refilm.config.recipes import RECIPES
from refilm.config.transforms import LAYERS, TRANSFORMS
from refilm.layout import EXPORT_SUFFIXES

SLUG = "[a-z0-9][a-z0-9-]*"  # the name of a film, a model, a comparison or an export
AUTO_CHANNELS = MappingProxyType({"cuda": 80, "mps": 40, "cpu": 24})  # `base_channels: auto`, by device
MODEL_STEP = f"{SLUG}(@[1-9][0-9]*)?"  # a model, or what it was after so many steps
MOMENT = f"{SLUG}@[0-9][0-9:.]*"  # of a film
_METADATA = "refilm"


@dataclass(frozen=True)
class Key:
    """One key. `minimum` and `maximum` belong to the range, `above` and `below` do not.

    Limits of a list are those of its items. choices: the words that it takes; required: whether it must be given; unset:
    what the manual says instead of a default of None; former: its name in refilm 0.1; repeats: whether an item may be in a
    list more than once.
    """

    name: str
    types: tuple[type, ...]
    default: Any
    description: str
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    multiple_of: int | None = None
    pattern: str | None = None
    required: bool = False
    unset: str = ""
    former: str | None = None
    repeats: bool = False

    @property
    def summary(self) -> str:
        """The first sentence of the description, without its Markdown."""
        return self.description.replace("\n", " ").split(". ")[0].rstrip(".").replace("`", "")

    def values(self) -> str:
        """What may be given, in words: 'a whole number, at least 1'."""
        kinds = [_NAMES[kind] for kind in self.types if kind in _NAMES]
        if tuple in self.types:
            kinds = ["a list of names" if self.pattern else "a list of whole numbers"]
        if self.choices:
            kinds = [*map(_yaml, self.choices), *(kind for kind in kinds if kind in (_NAMES[int], _NAMES[float]))]
        limits = {
            "at least": self.minimum,
            "above": self.above,
            "at most": self.maximum,
            "below": self.below,
            "a multiple of": self.multiple_of,
        }
        return ", ".join(filter(None, [_either(kinds), *(f"{word} {n}" for word, n in limits.items() if n is not None)]))


_NAMES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}


def key(default: Any, description: str, **properties: Any) -> Any:
    """A field of one of the classes below: its default and the properties of its `Key`."""
    return dataclasses.field(default=default, metadata={_METADATA: {"description": description, **properties}})


def required(description: str, **properties: Any) -> Any:
    """A key that must be given."""
    return key(None, description, required=True, **properties)


@dataclass(frozen=True, kw_only=True)
class FilmKeys:
    """films: one film."""

    source: str = required(
        "path of the film file, relative to the working directory; or a [folder of images](#images); or an http, https "
        "or s3 [address](#addresses) from which the film is fetched. A path under `results/` is made first: a "
        "reconstruction can be reconstructed again"
    )
    title: str | None = key(
        None, "title of the film in pictures, in any script for which the system has a font", unset="the name"
    )
    start: str | float | None = key(
        None,
        'first moment that is used: seconds, or `"HH:MM:SS"` in quotes. Exact to the frame',
        unset="the beginning",
        minimum=0,
    )
    end: str | float | None = key(
        None, 'end of what is used: seconds, or `"HH:MM:SS"` in quotes', unset="the end", minimum=0
    )
    crop: str = key(
        "auto",
        "`auto` removes black bars, which it detects on the whole film; `none` keeps the whole picture; "
        '`"W:H:X:Y"` is a box in the film\'s own pixels',
        pattern="^(auto|none|[0-9]+:[0-9]+:[0-9]+:[0-9]+)$",
    )
    fit: str = key(
        "crop",
        "how the picture gets the shape of the frame: `crop` fills it and cuts off the rest, `pad` adds black borders, "
        "`stretch` distorts it",
        choices=("crop", "pad", "stretch"),
    )
    deinterlace: str = key(
        "auto",
        "for interlaced films, such as 50i and 59.94i: `auto` detects them by their tags and by measurement, and makes one "
        "frame of two fields; `on` and `off` do that always or never; `fields` makes a frame of each field. With `fields`, "
        "59.94i becomes 59.94 frames/s",
        choices=("auto", "on", "fields", "off"),
    )
    damaged: str = key(
        "refuse",
        "`refuse` stops at a truncated or corrupt film, with a line that says how much of it can be read; `use` takes what "
        "can be read. Corrupt frames are used as the decoder conceals them, a lost frame repeats the one before it, so "
        "everything else keeps its place",
        choices=("refuse", "use"),
    )
    audio: str | int = key(
        "auto",
        "soundtrack of the results: `auto` is the one that a player would choose; a language, such as `eng` or `en` "
        '(Norwegian `"no"` in quotes); the number of a soundtrack, from 1; the numbers of several of one channel each, such '
        "as `1+2` for left and right; or `none`",
        pattern="^(auto|none|[0-9]+([+][0-9]+)*|[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*)$",
        minimum=1,
    )
    fps: str | float | None = key(
        None,
        "frames per second of a folder of images, such as `24`, `23.976` or `24000/1001`. Required for images, and only for "
        "them",
        unset="the film's own",
    )
    sha256: str | None = key(
        None,
        "SHA-256 of the film file, 64 hexadecimal digits in quotes. A file with another one is refused before it is used",
        pattern="^[0-9a-fA-F]{64}$",
        unset="not checked",
    )


@dataclass(frozen=True, kw_only=True)
class ModelKeys:
    """models: one model; each key of training: can be given beside these."""

    films: tuple[str, ...] = required(
        "a list of the films that the model is trained on. `film_weighting` says how often each is used", pattern=f"^{SLUG}$"
    )
    title: str | None = key(None, "title of the model in pictures", unset="the titles of its films")


@dataclass(frozen=True, kw_only=True)
class TrainingKeys:
    """training: what decides the weights of a model, besides its films."""

    recipe: str = key("larsen2015", "the networks and how they are trained; see [recipes](#recipes)", choices=tuple(RECIPES))
    frame_size: str = key(
        "256x144",
        "WIDTHxHEIGHT of a frame in pixels, both multiples of 16, such as 256x144",
        pattern="^[0-9]+x[0-9]+$",
    )
    latent_dim: int = key(200, "numbers that represent a frame", minimum=1, former="latent")
    base_channels: int | str = key(
        "auto",
        "channels of the first convolution; the following ones have 2, 4 and 8 times as many. Half of it is a third of the "
        "time on a CPU, less is saved on a GPU, and reconstructions are coarser. `auto` is "
        f"{AUTO_CHANNELS['cuda']} with an NVIDIA GPU or on a cluster, {AUTO_CHANNELS['mps']} with Apple's MPS and "
        f"{AUTO_CHANNELS['cpu']} on a CPU; a model that was trained keeps [its own](#base_channels)",
        choices=("auto",),
        minimum=8,
        multiple_of=8,
        former="width",
    )
    batch_size: int = key(12, "frames per training step", minimum=1, former="batch")
    epochs: float | str | None = key(
        "auto",
        "passes over all frames; or give `steps`. `auto` shows a short film more often than a long one: [length](#length)",
        choices=("auto",),
        above=0,
    )
    steps: int | None = key(
        None,
        "length of the training in steps, instead of `epochs`",
        minimum=1,
        unset="`epochs` is used",
    )
    learning_rate: float = key(
        0.0005,
        "peak learning rate of Adam, written 0.0005 or 5.0e-4 (YAML reads `5e-4` as text). Narrow networks take 0.001",
        above=0,
    )
    warmup: float = key(0.02, "fraction of the steps in which the learning rate rises to its peak", minimum=0, below=1)
    lr_schedule: str = key(
        "cosine",
        "learning rate after the warmup: `cosine` decays to a hundredth of the peak, `constant` stays there",
        choices=("cosine", "constant"),
        former="schedule",
    )
    beta2: float = key(
        0.99, "Adam's decay rate of the mean squared gradient. That of the mean gradient is 0.5", minimum=0, below=1
    )
    grad_clip: float = key(
        5,
        "a network's gradient norm is limited to this many times its running mean; 0 switches that off. No single batch "
        "can then derail a training",
        minimum=0,
        former="clip",
    )
    noise: float = key(
        1,
        "noise scale: the posterior's standard deviation is multiplied by it in training. With less, reconstructions are "
        "sharper and the space between latents is emptier",
        minimum=0,
    )
    kl_weight: float = key(
        0.00001, "weight of the KL divergence, in nats summed over the latents, against the feature loss", minimum=0
    )
    pixel_weight: float = key(
        1, "weight of the pixel loss against the feature loss of `larsen2015`. It anchors colour", minimum=0
    )
    similarity_layers: tuple[int, ...] = key(
        (2, 3),
        "layers of the discriminator, 1 to 4, in which similarity is measured",
        minimum=1,
        maximum=4,
        former="likeness_layers",
    )
    gamma: float | str = key(
        "auto",
        "weight of the feature loss against the adversarial loss in the decoder; `auto` chooses it at each step so that "
        "their gradients have the ratio `adversarial_ratio`",
        choices=("auto",),
        above=0,
    )
    adversarial_ratio: float = key(
        0.3,
        "with `gamma: auto`, the norm of the adversarial gradient over that of the feature loss, at the reconstructed "
        "frames. More is sharper and less faithful",
        minimum=0,
        former="adversarial",
    )
    discriminator_lr_scale: float = key(
        0.5, "learning rate of the discriminator, as a multiple of `learning_rate`", above=0, former="discriminator_rate"
    )
    head_lr_scale: float = key(
        0.01,
        "learning rate of the heads, the last layers of encoder and discriminator, as a multiple of the network's. A head "
        "sums over a whole picture, and at the full rate its output jumps",
        above=0,
        former="head_rate",
    )
    cosines: int | str = key(
        "auto",
        "of `hybrid`: how many of the latents are cosines, which describe any film; the others are principal components "
        "of the films that it is trained on. 0 remembers best, `latent_dim` answers best to films never seen; `auto` is a "
        "third of them, or all where fewer than 4,000 frames are trained on. With `initial_model` it has no effect: the "
        "code is that model's",
        choices=("auto",),
        minimum=0,
    )
    ssim_weight: float = key(0.15, "of `hybrid`: weight of the structural dissimilarity against the pixel loss", minimum=0)
    adversarial_from: float = key(
        0.3,
        "of `hybrid`: fraction of the steps after which the discriminator is trained too, and the decoder by it. Before, "
        "a step takes a third less time",
        minimum=0,
        maximum=1,
    )
    augment: float = key(
        0,
        "augmentation: fraction of each batch that is shown brighter or darker, with other contrast, enlarged, shifted, "
        "mirrored. Reconstructions of films never seen gain much by it, those of the model's own film lose a little",
        minimum=0,
        maximum=1,
    )
    augment_until: float = key(
        0.9, "with `augment`, fraction of the steps after which frames are as in the film", minimum=0, maximum=1
    )
    clips: float = key(
        0,
        "order of frames: fraction of each batch that is clips of one shot, of frames that are 1, 2, 4 or 8 apart. What "
        "changes from one to the next is to change in the reconstruction, too",
        minimum=0,
        maximum=1,
    )
    clip_length: int = key(2, "with `clips`, frames of a clip", minimum=2, maximum=16)
    pair_weight: float = key(
        0.05,
        "with `clips`, weight of the error of the change between neighbours of a clip, relative to that change",
        minimum=0,
    )
    straighten_weight: float = key(
        0,
        "with clips of 3 frames or more, weight of the turns of their path through the latents, where these are learned: 1 "
        "minus the cosine between one step and the next",
        minimum=0,
    )
    discriminator_frames: int = key(
        1,
        "of `hybrid`: so many neighbours of a clip the discriminator is shown together, and tells from those of a "
        "reconstruction; more than 1 needs `clips: 1`",
        minimum=1,
        maximum=16,
    )
    equilibrium: float | None = key(
        None,
        "discriminator loss per frame, 0.69 where it is undecided, around which both networks are kept in balance; null "
        "trains both at every step. A discriminator that is better by more than `equilibrium_margin` pauses, and so does a "
        "decoder that deceives it by as much; where both would pause, neither does",
        above=0,
    )
    equilibrium_margin: float = key(
        0.35, "with `equilibrium`, the deviation of the loss at which a network pauses", minimum=0, former="margin"
    )
    ema_decay: float = key(
        0.999,
        "decay of the exponential moving average of the weights that becomes the model; 0 takes the last weights",
        minimum=0,
        below=1,
        former="ema",
    )
    precision: str = key(
        "auto",
        "`bfloat16` or `float32`; `auto` is bfloat16 where the hardware supports it",
        choices=("auto", "bfloat16", "float32"),
    )
    initial_model: str | None = key(
        None,
        "a model from whose weights the training starts, or `MODEL@STEP`; of the same `recipe`, `frame_size`, "
        "`base_channels` and `latent_dim`. If its recipe changes, this model is trained again too",
        pattern=f"^{MODEL_STEP}$",
        unset="random weights",
    )
    seed: int = key(0, "seed of the random numbers. Another seed is another training of the same recipe", minimum=0)
    film_weighting: str = key(
        "length",
        "with several films, `length` shows every frame equally often, `equal` every film. With `equal`, a short film has "
        "many more epochs",
        choices=("length", "equal"),
        former="weights",
    )
    holdout_fraction: float = key(
        0,
        "fraction of each film's frames, in whole shots, that is not trained on. `training.csv` then has the PSNR of both "
        "training and held-out frames",
        minimum=0,
        maximum=0.5,
        former="holdout",
    )


@dataclass(frozen=True, kw_only=True)
class RecordingKeys:
    """models: and training: what a training keeps and shows while it runs. None of it decides the weights."""

    keep: tuple[int, ...] = key(
        (),
        "a list of steps: the model after so many of them is kept, as `MODEL@STEP`. Those that a reconstruction, a "
        "comparison, an export or a poster names are kept without this key",
        minimum=1,
    )
    preview_films: tuple[str, ...] = key(
        (),
        "a list of films that the model is not trained on, of which `previews/now.png` shows two frames each. Their frames "
        "are extracted before the training begins; not with `--cache`",
        pattern=f"^{SLUG}$",
    )


@dataclass(frozen=True, kw_only=True)
class ComparisonKeys:
    """comparisons: one comparison."""

    film: str = required("the film whose original comes first", pattern=f"^{SLUG}$")
    models: tuple[str, ...] = required(
        "a list of the models whose reconstructions are shown beside it, all of one `frame_size`; or `MODEL@STEP`",
        pattern=f"^{MODEL_STEP}$",
    )
    start: str | float | None = key(
        None,
        'first moment shown, of the film as reconstructed: seconds, or `"HH:MM:SS"` in quotes',
        unset="the beginning",
        minimum=0,
    )
    end: str | float | None = key(
        None, 'end of what is shown: seconds, or `"HH:MM:SS"` in quotes', unset="the end", minimum=0
    )
    layout: str = key("row", "arrangement of the pictures", choices=("row", "column", "grid"))
    height: int = key(432, "height of each picture in pixels", minimum=16, multiple_of=2)


@dataclass(frozen=True, kw_only=True)
class ExportKeys:
    """exports: one export."""

    film: str = required("the film that is shown", pattern=f"^{SLUG}$")
    model: str = required("the model that reconstructs it; or `MODEL@STEP`", pattern=f"^{MODEL_STEP}$")
    start: str | float | None = key(
        None,
        'first moment shown, of the film as reconstructed: seconds, or `"HH:MM:SS"` in quotes',
        unset="the beginning",
        minimum=0,
    )
    end: str | float | None = key(
        None, 'end of what is shown: seconds, or `"HH:MM:SS"` in quotes', unset="the end", minimum=0
    )
    height: int = key(
        2160,
        "height of the picture in pixels; its width is in the shape of the frames. At the height of the frames nothing is "
        "scaled",
        minimum=16,
        maximum=8192,
        multiple_of=2,
    )
    scaler: str = key(
        "lanczos",
        "how frames are enlarged: `lanczos` is sharpest, `bicubic` softer, `nearest` shows pixels as squares",
        choices=("lanczos", "bicubic", "nearest"),
    )
    codec: str = key(
        "h264",
        "`h264` (.mp4) plays everywhere; `hevc` (.mp4) has 10 bits and is smaller; `prores` (.mov) is ProRes 422 HQ, for "
        "editing and media servers; `ffv1` (.mkv) is lossless, for archives; `png` is a folder of lossless images with the "
        "sound as WAV beside them",
        choices=tuple(EXPORT_SUFFIXES),
    )
    loop: bool = key(
        False,
        "whether it is played in a loop: a last frame that equals the first one, to within a grey level, is left out, so "
        "that it is not seen twice. Nothing is faded",
    )
    screens: int = key(
        1,
        "number of screens in a row over which the picture is divided, from left to right. With several, the export is a "
        "folder of as many files, of the same number of frames",
        minimum=1,
        maximum=16,
    )


@dataclass(frozen=True, kw_only=True)
class PosterKeys:
    """posters: one poster."""

    film: str = required("the film that is shown", pattern=f"^{SLUG}$")
    model: str = required("the model that reconstructs it; or `MODEL@STEP`", pattern=f"^{MODEL_STEP}$")
    frames: int = key(
        2000,
        "number of frames, evenly spaced over the film. A few more are shown where they fill the page",
        minimum=1,
        maximum=200000,
    )
    width: float = key(594, "width of the page in mm. 594 by 841 is A1", minimum=20, maximum=5000)
    height: float = key(841, "height of the page in mm", minimum=20, maximum=5000)
    dpi: int = key(300, "pixels per inch of the page", minimum=36, maximum=1200)


@dataclass(frozen=True, kw_only=True)
class WalkKeys:
    """walks: one walk. Its kind follows from what is given."""

    model: str = required("the model that decodes it; or `MODEL@STEP`", pattern=f"^{MODEL_STEP}$")
    film: str | None = key(
        None, "a film along whose latents it goes", pattern=f"^{SLUG}$", unset="`latents` or `moments` is given"
    )
    latents: str | None = key(
        None, "path of a latents file of your own, in place of `film`", unset="`film` or `moments` is given"
    )
    moments: tuple[str, ...] = key(
        (),
        "a list of moments of films between which it goes, each written FILM@TIME, such as `bikes@00:01:30` or `bikes@2.5`, "
        "of the film as reconstructed",
        pattern=f"^{MOMENT}$",
        repeats=True,
    )
    path: str = key(
        "spherical",
        "the way from one point to the next: `spherical` stays as far from the mean as frames are, `linear` is a straight "
        "line, which passes nearer to it and looks greyer, `neighbours` of `moments` leads over frames of their films that "
        "lie near each other",
        choices=("spherical", "linear", "neighbours"),
    )
    seconds: float = key(4, "with `moments`, time from one to the next", above=0, maximum=3600)
    start: str | float | None = key(
        None,
        'first moment of the film that is used: seconds, or `"HH:MM:SS"` in quotes',
        unset="the beginning",
        minimum=0,
    )
    end: str | float | None = key(
        None, 'end of what is used: seconds, or `"HH:MM:SS"` in quotes', unset="the end", minimum=0
    )
    smooth: float = key(
        0,
        "standard deviation, in seconds of the film, of the Gaussian by which latents are averaged over time",
        minimum=0,
        maximum=60,
    )
    speed: float = key(
        1, "pace: 0.25 takes four times as long, with new frames between those of the film", minimum=0.001, maximum=1000
    )
    reverse: bool = key(False, "whether it goes from the end to the beginning")
    mix_with: str | None = key(
        None, "another film, whose latents are mixed with these, from its beginning", pattern=f"^{SLUG}$", unset="none"
    )
    mix: str | float = key(
        0.5,
        "share of that film: a number, 0 for none of it and 1 for it alone, or a [curve](../docs/time.md#curves), such as "
        '`"0 at 0:00, 1 at 0:10"`',
    )
    nearest_in: str | None = key(
        None,
        "another film: each frame of `film` is shown beside that frame of it whose latents lie in the nearest direction",
        pattern=f"^{SLUG}$",
        unset="none",
    )
    loop: str = key(
        "none",
        "how it is made to return to where it began: `close` goes from the last of the `moments` to the first, and blends "
        "the end of a film into its beginning; `return` goes to the end and back",
        choices=("none", "close", "return"),
    )
    blend: float = key(1, "with `loop: close`, seconds at the end of a film that are blended into its beginning", above=0)
    fps: str | float | None = key(
        None,
        "frames per second, such as `24` or `24000/1001`. Required for a latents file that does not say",
        unset="those of the film",
    )
    sound: str | None = key(
        None,
        "a film whose sound is laid under it, as it is: from `start` on where that is the film of the walk, else from its "
        "beginning. It is cut to the length of the walk, and begins again where it is shorter",
        pattern=f"^{SLUG}$",
        unset="silent",
    )
    height: int = key(432, "height of the picture in pixels", minimum=16, multiple_of=2)
    title: str | None = key(None, "title in the gallery", unset="the name")

    @property
    def kind(self) -> str:
        """moments, nearest, mixture or film."""
        return "moments" if self.moments else "nearest" if self.nearest_in else "mixture" if self.mix_with else "film"

    @property
    def films(self) -> tuple[str, ...]:
        """The films whose latents are read, in the order in which they are: one for each of the moments."""
        if self.moments:
            return tuple(moment.partition("@")[0] for moment in self.moments)
        return tuple(film for film in (self.film, self.mix_with, self.nearest_in) if film)


@dataclass(frozen=True, kw_only=True)
class BendStepKeys:
    """bends: one entry of the list `transforms` of a bend."""

    transform: str = required("what is done to the features; see [bends](#bends)", choices=tuple(TRANSFORMS))
    layers: tuple[int, ...] = required(
        "a list of the layers of the decoder at whose features it is done: 1 has the coarsest ones, at a sixteenth of the "
        "size of a frame, 4 the finest, at half of it; 0 is the picture of the linear code of `hybrid`",
        minimum=0,
        maximum=LAYERS,
    )
    channels: tuple[int, ...] = key(
        (), "a list of the channels that are transformed, from 0; all, or `share` of them, without it", minimum=0
    )
    share: float = key(1, "fraction of the channels, drawn at random by the `seed` of the bend", above=0, maximum=1)
    amount: str | float = key(
        1,
        "how much of it: 0 leaves the features as they are, 1 puts the transformed ones in their place; a number or a "
        '[curve](../docs/time.md#curves), such as `"0 at 0:00, 1 at 0:10"`',
    )
    by: str | float | None = key(
        None, "the number that the transform takes, or a curve of it", unset="that of the transform"
    )
    x: str | float | None = key(None, "the same of `translate`: to the right", unset="that of the transform")
    y: str | float | None = key(None, "the same of `translate`: down", unset="that of the transform")

    def parameters(self) -> dict[str, str | float]:
        """The numbers or curves that its transform takes, by name."""
        usual = TRANSFORMS[self.transform].parameters
        given = {name: getattr(self, name) for name in ("by", "x", "y")}
        return {name: value if given[name] is None else given[name] for name, value in usual.items()}


@dataclass(frozen=True, kw_only=True)
class BendKeys:
    """bends: one bend, besides its `transforms`."""

    model: str = required("the model whose decoder is bent; or `MODEL@STEP`", pattern=f"^{MODEL_STEP}$")
    film: str | None = key(None, "the film that it decodes", pattern=f"^{SLUG}$", unset="`latents` is given")
    latents: str | None = key(None, "path of a latents file of your own, in place of `film`", unset="`film` is given")
    start: str | float | None = key(
        None, 'first moment of the film: seconds, or `"HH:MM:SS"` in quotes', unset="the beginning", minimum=0
    )
    end: str | float | None = key(None, 'end of it: seconds, or `"HH:MM:SS"` in quotes', unset="the end", minimum=0)
    fps: str | float | None = key(
        None, "frames per second of a latents file that does not say, such as `24`", unset="those of the film"
    )
    seed: int = key(0, "seed of random channels, and of the noise of curves", minimum=0)
    height: int = key(432, "height of the picture in pixels", minimum=16, multiple_of=2)
    title: str | None = key(None, "title in the gallery", unset="the name")
    transforms: tuple[BendStepKeys, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PredictorKeys:
    """predictor: how predictors are trained, one for each model whose dreams are asked for."""

    steps: int | str = key(
        "auto",
        "length of the training in steps. `auto` is 500 for ten minutes of film, and grows with the square root of the "
        "length; it is 200 at least",
        choices=("auto",),
        minimum=1,
    )
    seed: int = key(0, "seed of the random numbers. Another seed is another predictor", minimum=0)


@dataclass(frozen=True, kw_only=True)
class DreamKeys:
    """dreams: one dream."""

    film: str = required("the film that is continued; it need not be one that the model is trained on", pattern=f"^{SLUG}$")
    model: str = required("the model that encodes and decodes it; or `MODEL@STEP`", pattern=f"^{MODEL_STEP}$")
    start: str | float | None = key(
        None,
        'the moment from which on the film is dreamt, of the film as reconstructed: seconds, or `"HH:MM:SS"` in quotes',
        unset="the end",
        above=0,
    )
    length: float = key(60, "length of the dream in seconds", above=0, maximum=86400)
    lead: float = key(10, "seconds of the film that are shown before it", minimum=0, maximum=86400)
    temperature: float = key(
        1,
        "how much is left to chance: 0 continues with what is most likely, 1 is as uncertain as the predictor is, more is "
        "wilder",
        minimum=0,
        maximum=3,
    )
    seed: int = key(0, "seed of the dream. Another seed is another dream from the same moment", minimum=0)
    height: int = key(432, "height of the picture in pixels", minimum=16, maximum=8192, multiple_of=2)


@dataclass(frozen=True, kw_only=True)
class VideoKeys:
    """video: how results are encoded."""

    crf: int = key(
        14,
        "quality of the H.264 video, from 0 (lossless) to 51. 14 cannot be told from the frames by eye",
        minimum=0,
        maximum=51,
    )
    chapters: str = key(
        "film",
        "chapter marks of a reconstruction: `film` takes those of the film, moved and cut with its `start` and `end`, where "
        "the film file is opened for its sound; `shots` makes one of each shot; `none` has none",
        choices=("film", "shots", "none"),
    )


@dataclass(frozen=True, kw_only=True)
class ReconstructionKeys:
    """reconstruction: how models reconstruct films."""

    noise: float = key(
        0,
        "noise scale of a reconstruction: 0 decodes the mean of each frame's posterior, 1 a sample of it, more is wilder. "
        "When it changes, films are encoded again",
        minimum=0,
    )
    search: int = key(
        0,
        "steps of the [latent search](#latent-search): gradient descent on each frame's latents, from where the encoder "
        "puts them, with the decoder as it is. 0 switches it off; 20 is a good number. When it changes, films are "
        "encoded again",
        minimum=0,
    )


@dataclass(frozen=True, kw_only=True)
class GlobalKeys:
    """Keys at the top level: what computes the results. None of them triggers a re-run."""

    device: str = key(
        "auto",
        "what the networks run on: `auto` takes a CUDA GPU, else Apple's MPS, else the CPU; the others fail where they are "
        "not available. Of several GPUs it is one that no other job of refilm uses; `CUDA_VISIBLE_DEVICES=1 snakemake …` "
        "selects another",
        choices=("auto", "cuda", "mps", "cpu"),
    )
    gpus: int = key(
        1,
        "number of GPUs of one machine that train a model together. Each processes its part of every batch, and the result "
        "is that of one GPU; `batch_size` must be a multiple of it. Such a training is not compiled, and compiling nearly "
        "halves a step of 12 frames: several GPUs are for much larger batches. Not tested on two GPUs yet",
        minimum=1,
    )
    compile: bool | str = key(
        "auto",
        "whether the training step is compiled first; `auto` does so on CUDA GPUs for trainings of at least 20,000 steps. "
        "It takes a minute, then steps take half as long on an H100; needs a C compiler",
        choices=("auto", True, False),
    )
    tensorboard: bool = key(
        False,
        "whether trainings write the columns of training.csv and the previews as TensorBoard events too. They are in "
        "`results/models/{model}/tensorboard/`; needs `pip install tensorboard`. View them with "
        "`tensorboard --logdir results/models`",
    )
    hwaccel: str = key(
        "none",
        "what decodes films: `none` is the CPU, whose frames are the reference; `auto` takes an available hardware decoder; "
        "the others are decoders of ffmpeg. Where it fails, a message says so and the CPU decodes",
        choices=("none", "auto", "cuda", "vaapi", "qsv", "videotoolbox", "vulkan", "d3d11va"),
    )


@functools.cache
def keys_of(section: type) -> Mapping[str, Key]:
    """The keys of one of the classes above, by name and in order."""
    return MappingProxyType(
        {field.name: _key(field) for field in dataclasses.fields(section) if _METADATA in field.metadata}
    )


def _key(field: "dataclasses.Field[Any]") -> Key:
    union = isinstance(field.type, types.UnionType)
    kinds = typing.get_args(field.type) if union else (field.type,)
    plain = tuple(typing.get_origin(kind) or kind for kind in kinds)
    return Key(field.name, plain, field.default, **field.metadata[_METADATA])


@functools.cache
def defaults(section: type) -> Mapping[str, Any]:
    """The default of every key, for keys that need not be given."""
    return MappingProxyType({name: key.default for name, key in keys_of(section).items() if not key.required})


def add_option(parser: argparse.ArgumentParser, section: type, name: str) -> None:
    """Give a command the option `--name`, with the default, choices and description of the key."""
    key = keys_of(section)[name]
    if bool in key.types and not key.choices:
        parser.add_argument(f"--{name}", action="store_true", help=_help(key))
        return
    kind = int if key.types == (int,) else float if key.types == (float,) else str
    choices = [_yaml(choice) for choice in key.choices] or None
    default = _yaml(key.default) if isinstance(key.default, bool) else key.default
    parser.add_argument(f"--{name}", type=kind, default=default, choices=choices, help=_help(key))


def _help(key: Key) -> str:
    return key.summary.replace("%", "%%")  # which argparse formats


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _either(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)
