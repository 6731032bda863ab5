"""Bent decoders: each transform against plain arrays, at the frames, layers and channels that it is for."""

import inspect
from fractions import Fraction

import numpy as np
import pytest
import torch

from refilm.config.transforms import LAYERS, TRANSFORMS
from refilm.core.curves import parse_curve
from refilm.core.errors import RefilmError
from refilm.models import bending
from refilm.models.bending import Bending, Step
from refilm.models.inference import BATCH, decode_latents
from refilm.models.registry import build_model
from tests.models import recipe_named

FPS = Fraction(24)
RECIPES = ("larsen2015", "hybrid", "vae", "dcgan", "broad2016")


def features(height: int = 6, width: int = 8, count: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((count, 2, height, width)).astype(np.float32))


def per_frame(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None]


def shifted(x: np.ndarray, right: int, down: int) -> np.ndarray:
    """Moved, with the picture mirrored beyond its edges, which belong to it."""
    padded = np.pad(x, [(0, 0), (0, 0), (4, 4), (4, 4)], mode="symmetric")
    return padded[:, :, 4 - down : 4 - down + x.shape[2], 4 - right : 4 - right + x.shape[3]]


def extreme(x: np.ndarray, radius: int, choose) -> np.ndarray:
    rows, columns = x.shape[2:]
    out = np.empty_like(x)
    for y in range(rows):
        for column in range(columns):
            out[:, :, y, column] = choose(
                x[:, :, max(0, y - radius) : y + radius + 1, max(0, column - radius) : column + radius + 1], axis=(2, 3)
            )
    return out


TRUTHS = {  # transform: the parameters of three frames, and what becomes of them
    "ablate": ({}, lambda x: 0 * x),
    "invert": ({}, lambda x: -x),
    "multiply": ({"by": (2, -1, 0.5)}, lambda x: x * np.array([2, -1, 0.5])[:, None, None, None]),
    "threshold": ({"by": (0, 0.5, -9)}, lambda x: (x > np.array([0, 0.5, -9])[:, None, None, None]).astype(float)),
    "translate": (
        {"x": (0.25, 0, -0.125), "y": (0, 0.5, 0)},
        lambda x: np.concatenate([shifted(x[:1], 2, 0), shifted(x[1:2], 0, 3), shifted(x[2:], -1, 0)]),
    ),
    "flip": ({}, lambda x: x[..., ::-1]),
    "dilate": (
        {"by": (0, 1, 2.4)},
        lambda x: np.concatenate([extreme(x[n : n + 1], n, np.max) for n in range(3)]),
    ),
    "erode": (
        {"by": (1, 1, 2)},
        lambda x: np.concatenate([extreme(x[n : n + 1], r, np.min) for n, r in enumerate((1, 1, 2))]),
    ),
}


@pytest.mark.parametrize("name", TRUTHS)
def test_a_transform_is_what_plain_arrays_give(name):
    x = features()
    given, expected = TRUTHS[name]
    found = getattr(bending, name)(x, **{key: per_frame(*values) for key, values in given.items()})
    assert np.abs(found.numpy() - expected(x.numpy())).max() < 1e-5


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_quarter_turns_are_those_of_numpy(turns):
    x = features(8, 8)
    found = bending.rotate(x, per_frame(*[90.0 * turns] * 3))
    assert np.abs(found.numpy() - np.rot90(x.numpy(), turns, axes=(2, 3))).max() < 1e-5


def test_half_a_turn_of_a_wide_picture_is_a_rotation_of_its_cells_and_a_circle_stays_round():
    x = features()
    assert np.abs(bending.rotate(x, per_frame(180, 180, 180)).numpy() - x.numpy()[..., ::-1, ::-1]).max() < 1e-5
    y, column = np.mgrid[:18, :32]
    circle = torch.from_numpy(np.exp(-((y - 8.5) ** 2 + (column - 15.5) ** 2) / 20)).float()[None, None]
    change = (bending.rotate(circle, per_frame(37.0)) - circle)[0, 0].abs().numpy()
    inside = (y - 8.5) ** 2 + (column - 15.5) ** 2 < 8**2  # beyond, the mirrored picture comes in
    assert change[inside].max() < 0.03  # as far as linear interpolation is exact


def test_scaling_enlarges_about_the_middle():
    ramp = torch.arange(16.0).expand(1, 1, 9, 16)
    found = bending.scale(ramp, per_frame(2))[0, 0]
    assert np.allclose(found.numpy(), 7.5 + (np.arange(16) - 7.5) / 2, atol=1e-5)
    assert bending.scale(ramp, per_frame(0)).isfinite().all()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_of_the_registry_is_a_function_that_takes_its_numbers(name):
    taken = list(inspect.signature(getattr(bending, name)).parameters)
    assert taken == ["features", *TRANSFORMS[name].parameters] and set(taken) <= {"features", "by", "x", "y"}
    usual = {key: per_frame(value, value, value).float() for key, value in TRANSFORMS[name].parameters.items()}
    assert getattr(bending, name)(features(), **usual).shape == features().shape


# --- in a decoder


def model_of(name: str):
    torch.manual_seed(0)
    model = build_model(recipe_named(name)).eval().requires_grad_(False)
    if name == "hybrid":  # whose decoder begins at nothing
        for parameter in model.decoder.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def latents(count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 16)).astype(np.float32)


def decoded(model, z, *steps, first=0, end=None, seed=0, fps=FPS) -> np.ndarray:
    with Bending(model, steps, fps, first, seed) as bent:
        return np.concatenate(list(decode_latents(model, z, first, end, bent.at)))


def step(transform, *layers, amount=1, channels=(), share=1.0, **numbers) -> Step:
    curves = {name: parse_curve(value, name) for name, value in numbers.items()}
    return Step(transform, layers, channels, share, parse_curve(amount, "amount"), curves)


@pytest.mark.parametrize("name", RECIPES)
def test_each_layer_of_a_decoder_is_bent_and_the_model_is_as_before(name):
    model, z = model_of(name), latents(5)
    plain = np.concatenate(list(decode_latents(model, z)))
    pictures = [decoded(model, z, step("invert", layer)) for layer in range(1, LAYERS + 1)]
    assert all((picture != plain).any() for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == LAYERS
    assert np.array_equal(np.concatenate(list(decode_latents(model, z))), plain)
    assert np.array_equal(decoded(model, z, step("ablate", 1, 2, 3, 4, amount=0)), plain)


@pytest.mark.parametrize("name", RECIPES)
def test_layers_have_the_sizes_and_channels_that_the_manual_says(name):
    model, seen = model_of(name), []
    modules = model.bent_modules()
    hooks = [
        modules[layer].register_forward_pre_hook(lambda _module, given: seen.append(tuple(given[-1].shape[1:])))
        for layer in sorted(modules)
    ]
    list(decode_latents(model, latents(1)))
    for hook in hooks:
        hook.remove()
    picture = [(3, 48, 64)] if name == "hybrid" else []
    assert seen == [*picture, (64, 3, 4), (32, 6, 8), (16, 12, 16), (8, 24, 32)]  # of 64x48 with base_channels 8


def test_of_a_hybrid_the_picture_of_the_code_is_bent_where_its_decoder_sees_and_shows_it():
    model, z = model_of("hybrid"), latents(3)
    torch.nn.init.normal_(model.code.basis, std=0.2)
    with torch.no_grad():
        frames = model.decoder(torch.from_numpy(z), model.code.decode(torch.from_numpy(z)).flip(3))
    expected = ((frames + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 1).numpy()
    assert np.abs(decoded(model, z, step("flip", 0)) - expected).max() <= 1


def test_steps_are_done_in_their_order_at_the_channels_that_they_name():
    """As the same by a hook of one's own."""
    model, z = model_of("vae"), latents(4)

    def by_hand(_module, given):
        x = given[0].clone()
        x[:, [3, 5]] *= -1
        x[:, 5] += 0.5 * ((x[:, 5] > 0).float() - x[:, 5])
        return (x,)

    steps = step("invert", 2, channels=(3, 5)), step("threshold", 2, channels=(5,), by=0, amount=0.5)
    hook = model.bent_modules()[2].register_forward_pre_hook(by_hand)
    expected = np.concatenate(list(decode_latents(model, z)))
    hook.remove()
    assert np.array_equal(decoded(model, z, *steps), expected)
    assert not np.array_equal(decoded(model, z, *steps[::-1]), expected)


def test_places_are_computed_in_float32_whatever_the_decoder_computes_in():
    bent, x = Bending(model_of("vae"), [], FPS), features(36, 64)
    steps = [(0, step("rotate", 1, by=1.5)), (1, step("scale", 1, by=1.01))]
    expected = bent._bent(x, 1, steps)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bent._bent(x, 1, steps), expected)


def test_a_layer_or_channel_that_a_decoder_has_not_is_one_line():
    model, z = model_of("vae"), latents(1)
    with pytest.raises(RefilmError, match=r"^layer 0: vae has the layers 1, 2, 3, 4$"):
        decoded(model, z, step("flip", 0))
    with pytest.raises(RefilmError, match=r"^channel 32: layer 2 has 32, from 0 to 31$"):
        decoded(model, z, step("flip", 2, channels=(0, 32)))


def test_a_share_is_drawn_by_the_seed():
    model, z = model_of("vae"), latents(2)
    some = [decoded(model, z, step("ablate", 1, share=0.25), seed=seed).tobytes() for seed in (0, 0, 1)]
    assert some[0] == some[1] != some[2]
    bent = Bending(model, [], FPS, seed=3)
    drawn = bent._channels(0, step("ablate", 1, share=0.25), 1, 64).tolist()
    assert len(set(drawn)) == 16 and bent._channels(1, step("ablate", 1, share=0.25), 1, 64).tolist() != drawn
    assert len(bent._channels(0, step("ablate", 1, share=0.001), 1, 64)) == 1


@pytest.mark.parametrize("name", ["vae", "broad2016"])
def test_a_curve_is_that_of_the_time_of_each_frame(name):
    """Also in the last batch, which begins inside the one before it, and of a part, at whose first frame it begins."""
    model, z, count = model_of(name), latents(2 * BATCH + 5), 2 * BATCH + 5
    turning = step("multiply", 3, by="1 at 0:01, -1 at 0:02")
    curved = decoded(model, z, turning)
    for first in (0, 20) if name == "vae" else ():
        found = decoded(model, z, turning, first=first)
        for frame in (first, first + 24, first + 30, 63, 64, count - 1):
            by = float(np.interp((frame - first) / 24, [1, 2], [1, -1]))
            (expected,) = decoded(model, z[frame : frame + 1], step("multiply", 3, by=by))
            assert np.abs(found[frame - first].astype(int) - expected).max() <= 1
    assert np.array_equal(curved[:12], np.concatenate(list(decode_latents(model, z)))[:12])
    part = decoded(model, z, step("multiply", 3, by="1 at 0, 1 at 0:01, -1 at 0:02"), first=40)
    whole = np.concatenate(list(decode_latents(model, z)))
    assert len(part) == count - 40 and np.array_equal(part[:8], whole[40:48]) and (part[-1] != whole[-1]).any()


def test_noise_is_the_same_for_a_seed_and_another_for_another():
    model, z = model_of("vae"), latents(30)
    drifts = [decoded(model, z, step("rotate", 2, by="drift -30 to 30 every 1"), seed=seed) for seed in (0, 0, 1)]
    assert np.array_equal(drifts[0], drifts[1]) and not np.array_equal(drifts[0], drifts[2])
