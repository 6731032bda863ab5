"""The recipe of 2016 is what the published code was: its layer table, its losses, and what moved what."""

import pytest
import torch
from torch.nn import functional as F

from refilm.core.errors import RefilmError
from refilm.models.base import Batch, StepContext
from refilm.models.broad2016 import Broad2016
from refilm.models.inference import inference_batch
from refilm.models.registry import build_model
from tests.conftest import config
from tests.models import recipe_named

# trained parameters at 256x144, 80 base channels, 200 latents: weights, biases, and two for each normalised channel
PARAMETERS = {"encoder": 43_593_840, "decoder": 25_253_123, "discriminator": 6_821_601}
TABLE = {
    "encoder": [(80, 72, 128), (160, 36, 64), (320, 18, 32), (640, 9, 16)],
    "decoder": [(640, 9, 16), (320, 18, 32), (160, 36, 64), (80, 72, 128), (3, 144, 256)],
    "discriminator": [(80, 72, 128), (160, 36, 64), (320, 18, 32), (640, 9, 16)],
}


def recipe(**values):
    return recipe_named("broad2016", **values)


def test_parameters_are_those_of_the_table():
    with torch.device("meta"):
        model = Broad2016(recipe(frame_size="256x144", base_channels=80, latent_dim=200))
    counts = {name: sum(weight.numel() for weight in part.parameters()) for name, part in model.networks().items()}
    assert counts == PARAMETERS


def test_shapes_are_those_of_the_table():
    """With a tenth of the channels."""
    model, seen = build_model(recipe(frame_size="256x144", base_channels=8, latent_dim=200)), {name: [] for name in TABLE}
    for name, part in model.networks().items():
        for module in part.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
                module.register_forward_hook(lambda _m, _i, out, name=name: seen[name].append(tuple(out.shape[1:])))
    with torch.no_grad():
        mean, log_variance = model.encoder(torch.zeros(2, 3, 144, 256))
        assert model.decoder(mean).shape == (2, 3, 144, 256)
        logits, features = model.discriminator(torch.zeros(2, 3, 144, 256))
    tenth = {name: [(c if c == 3 else c // 10, h, w) for c, h, w in shapes] for name, shapes in TABLE.items()}
    assert mean.shape == log_variance.shape == (2, 200) and logits.shape == (2,)
    assert [tuple(f.shape[1:]) for f in features] == tenth["discriminator"] == seen["discriminator"]
    assert seen["encoder"] == tenth["encoder"]
    assert [model.decoder.bottleneck, *seen["decoder"]] == tenth["decoder"]


def test_every_convolution_is_5x5_with_stride_2_and_a_bias():
    convolutions = [
        module
        for module in build_model(recipe()).modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))
    ]
    assert len(convolutions) == 12
    assert all(c.kernel_size == (5, 5) and c.stride == (2, 2) and c.bias is not None for c in convolutions)


def test_pictures_are_padded_as_tensorflow_padded_them():
    """One pixel before and two after: a lone pixel is seen where it was seen in 2016, on the way down and back up."""
    model = build_model(recipe()).double()
    down, up = model.encoder.layers[0], model.decoder.layers[-1]
    with torch.no_grad():
        down.weight.zero_(), down.bias.zero_(), up.weight.zero_(), up.bias.zero_()
        down.weight[0, 0, 0, 0] = 1.0  # the kernel's first tap looks one pixel up and to the left of twice the place
        up.weight[0, 0, 0, 0] = 1.0
        picture = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
        picture[0, 0, 3, 5] = 1.0
        seen = down(picture)[0, 0]
        assert seen.nonzero().tolist() == [[2, 3]] and seen.shape == (4, 4)
        small = torch.zeros(1, up.weight.shape[0], 4, 4, dtype=torch.float64)
        small[0, 0, 2, 3] = 1.0
        assert up(small)[0, 0].nonzero().tolist() == [[3, 5]] and up(small).shape == (1, 3, 8, 8)


def test_heads_are_bounded_so_that_no_posterior_gets_narrow():
    model = build_model(recipe())
    with torch.no_grad():
        for head in (model.encoder.mean_head, model.encoder.log_variance_head):
            head.weight.mul_(1e4)
        mean, log_variance = model.encoder(torch.rand(3, 3, 48, 64))
    assert mean.abs().max() == 1.0 and log_variance.abs().max() == 0.5


def test_a_frame_depends_on_its_batch_and_is_reconstructed_in_batches_of_the_training():
    model = build_model(recipe()).double()
    frames = torch.rand(4, 3, 48, 64, dtype=torch.float64)
    together, pair = model.encoder(frames)[0], model.encoder(frames[:2])[0]
    assert (together[:2] - pair).abs().max() > 1e-3
    assert inference_batch(build_model(recipe(batch_size=12))) == 12


def test_gradients_are_those_of_three_separate_losses_on_the_swapped_lists():
    """As written down in 2016: sigmoids, binary cross-entropies, one backward pass for each optimiser."""
    settings, generator = recipe(gamma=2.5, kl_weight=1 / 16, noise=0.8), torch.Generator().manual_seed(3)
    torch.manual_seed(0)
    model = build_model(settings).double()
    frames = torch.rand(4, 3, 48, 64, generator=generator, dtype=torch.float64) * 2 - 1
    noise, prior = torch.randn(2, 4, 16, generator=generator, dtype=torch.float64)

    def losses():
        mean, log_variance = model.encoder(frames)
        recon = model.decoder(mean + 0.8 * noise * log_variance.exp().sqrt())
        judged = [model.discriminator(x) for x in (frames, recon, model.decoder(model.prior_latents(prior)))]
        real, fake, prior_samples = (logits.sigmoid() for logits, _ in judged)
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean(1).mean()
        like = sum(F.mse_loss(a, b) for a, b in zip(judged[0][1], judged[1][1], strict=True)) / 4
        bce = F.binary_cross_entropy
        gan = (bce(real, real * 0 + 1) + bce(fake, fake * 0) + bce(prior_samples, prior_samples * 0)) / 6 / 4
        return {"decoder": kl + like, "encoder": 2.5 * like - gan, "discriminator": gan}

    ours = model.gradients(Batch(frames, noise, prior), StepContext()).gradients
    lists = model.trained_parameters()
    assert ours.keys() == lists.keys() == {"encoder", "decoder", "discriminator"}
    for name, weights in lists.items():
        expected = torch.autograd.grad(losses()[name], weights)
        for a, b in zip(ours[name], expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-13)


def test_the_log_variance_head_is_in_two_lists():
    model = build_model(recipe())
    lists, head = model.trained_parameters(), model.encoder.log_variance_head.weight
    assert [name for name, weights in lists.items() if any(weight is head for weight in weights)] == ["encoder", "decoder"]


def test_priors_fill_the_cube_evenly():
    normal = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    numbers = build_model(recipe()).prior_latents(normal)
    assert numbers.abs().max() < 1
    counts = torch.histc(numbers, 10, -1, 1) / len(numbers)
    assert (counts - 0.1).abs().max() < 0.004


def test_its_own_defaults_hold_until_the_configuration_says_otherwise():
    models = {
        "old": {"films": ["bikes"], "recipe": "broad2016"},
        "mine": {"films": ["bikes"], "recipe": "broad2016", "ema_decay": 0.9},
    }
    made = config(models=models)
    old, mine = made.recipe("old"), made.recipe("mine")
    assert (old.learning_rate, old.lr_schedule, old.beta2, old.gamma, old.ema_decay, old.grad_clip) == (
        0.0002,
        "constant",
        0.999,
        2.5,
        0,
        0,
    )
    assert old.similarity_layers == (1, 2, 3, 4) and old.kl_weight == pytest.approx(1 / 200)
    assert mine.ema_decay == 0.9 and mine.gamma == 2.5
    assert config(models=models, training={"learning_rate": 0.01}).recipe("old").learning_rate == 0.01


def test_gamma_auto_is_refused():
    with pytest.raises(RefilmError, match=r"gamma: auto is invalid.*2\.5"):
        recipe(gamma="auto")
