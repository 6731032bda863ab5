"""The registry of recipes: one entry each, and all that planning must know of it. No torch.

A new recipe is a file in models/ with a subclass of `refilm.models.base.Model`, and an entry here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ADVERSARIAL_KEYS = frozenset({"similarity_layers", "gamma", "discriminator_lr_scale"})
_BALANCE_KEYS = frozenset({"pixel_weight", "adversarial_ratio", "equilibrium", "equilibrium_margin"})
CLIP_KEYS = frozenset({"clip_length", "pair_weight", "straighten_weight", "discriminator_frames"})  # of `clips`
_HYBRID_KEYS = frozenset({"cosines", "ssim_weight", "adversarial_from", "discriminator_frames"})


@dataclass(frozen=True)
class RecipeSpec:
    """What a recipe declares.

    model: its class, 'module:name'; summary: for the manual; defaults: of keys, where they differ from those of `keys`;
    unused: keys without an effect, which therefore are no part of its identity; invalid: values of keys that it does not
    take, each with the reason; version: counts changes of its layers, after which old weights do not fit; size_multiple:
    of a frame's width and height in pixels; reconstructs: whether it has an encoder; samples: whether it has a prior to
    draw latents from; mixes_batch: whether the frames of a batch change each other, so that whole batches must be
    decoded; shardable: whether processes can share a batch with the result of one; linear_code: whether latents are those
    of a linear code, which is fitted to the film.
    """

    model: str
    summary: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    unused: frozenset[str] = frozenset()
    invalid: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    version: int = 3
    size_multiple: int = 16
    reconstructs: bool = True
    samples: bool = True
    mixes_batch: bool = False
    shardable: bool = True
    linear_code: bool = False


RECIPES: dict[str, RecipeSpec] = {
    "larsen2015": RecipeSpec(
        model="refilm.models.larsen2015:VAEGAN",
        summary="the VAE/GAN: similarity measured in the layers of a discriminator",
        unused=_HYBRID_KEYS,
    ),
    "hybrid": RecipeSpec(
        model="refilm.models.hybrid:Hybrid",
        summary="a fixed linear code, and a decoder that adds to its picture; pixels first, then a discriminator",
        defaults={"augment": 0.25},
        unused=frozenset({"noise", "kl_weight", "equilibrium", "equilibrium_margin", "straighten_weight"}),
        linear_code=True,
    ),
    "broad2016": RecipeSpec(
        model="refilm.models.broad2016:Broad2016",
        summary="the code of 2016 as it in effect trained, faults and all",
        defaults={
            "learning_rate": 0.0002,
            "lr_schedule": "constant",
            "warmup": 0,
            "beta2": 0.999,
            "kl_weight": 1 / 200,  # 2016 averaged the divergence over the 200 latents, `kl_weight` is of their sum
            "similarity_layers": [1, 2, 3, 4],
            "gamma": 2.5,
            "discriminator_lr_scale": 1,
            "head_lr_scale": 1,
            "grad_clip": 0,
            "ema_decay": 0,
        },
        unused=_BALANCE_KEYS | _HYBRID_KEYS | {"clips"} | CLIP_KEYS,
        invalid={"gamma": ("auto", "broad2016 needs a number; in 2016 it was 2.5")},
        mixes_batch=True,
        shardable=False,
    ),
    "vae": RecipeSpec(
        model="refilm.models.vae:VAE",
        summary="the encoder and decoder of `larsen2015` with pixel error only",
        unused=_BALANCE_KEYS | _ADVERSARIAL_KEYS | _HYBRID_KEYS,
    ),
    "autoencoder": RecipeSpec(
        model="refilm.models.vae:Autoencoder",
        summary="the same without a prior and without noise in the latents",
        unused=_BALANCE_KEYS | _ADVERSARIAL_KEYS | _HYBRID_KEYS | {"noise", "kl_weight"},
        samples=False,
    ),
    "dcgan": RecipeSpec(
        model="refilm.models.dcgan:DCGAN",
        summary="frames from noise: a generator and a discriminator without an encoder; samples, no reconstructions",
        defaults={
            "learning_rate": 0.0002,
            "beta2": 0.999,
            "discriminator_lr_scale": 1,
            "head_lr_scale": 1,
            "grad_clip": 0,
        },
        unused=_BALANCE_KEYS
        | _HYBRID_KEYS
        | CLIP_KEYS
        | {"clips", "similarity_layers", "gamma", "noise", "kl_weight", "holdout_fraction"},
        reconstructs=False,
        shardable=False,
    ),
}
