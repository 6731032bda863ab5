"""The networks of a recipe, together; and frames as pictures are kept, turned into what networks take, and back."""

import torch
from torch import Tensor, nn

from refilm.config.recipe import Recipe
from refilm.models import broad2016, larsen2015


class Networks(nn.Module):
    """Encoder, decoder and discriminator of one model; the last is None for recipes with pixel error only."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        family = broad2016 if recipe.recipe == "broad2016" else larsen2015
        self.encoder = family.Encoder(recipe)
        self.decoder = family.Decoder(recipe)
        self.discriminator = family.Discriminator(recipe) if recipe.recipe in ("larsen2015", "broad2016") else None
        self.to(memory_format=torch.channels_last)

    def parts(self) -> dict[str, nn.Module]:
        """Encoder, decoder and, where there is one, discriminator, by name."""
        return {name: part for name, part in self.named_children() if part is not None}

    def weights(self) -> dict[str, list[nn.Parameter]]:
        """The weights of each of the `parts`, in their order."""
        return {name: list(part.parameters()) for name, part in self.parts().items()}

    def heads(self) -> list[nn.Parameter]:
        """The matrices that turn a whole picture into a posterior, or into one word about it."""
        parts = [part for name, part in self.parts().items() if name != "decoder"]
        return [layer.weight for part in parts for layer in part.modules() if isinstance(layer, nn.Linear)]


def to_network(frames: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in [-1, 1], a channels_last view of the same order in memory."""
    return frames.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def to_frames(frames: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> uint8 (B, H, W, 3), rounded: the inverse of `to_network`."""
    return frames.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).permute(0, 2, 3, 1).to(torch.uint8)
