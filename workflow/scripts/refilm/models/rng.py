"""Random numbers as functions of what they are for."""

import hashlib

import torch


def generator_for(seed: int, purpose: str, number: int) -> torch.Generator:
    """A CPU generator for one purpose at one step, epoch or frame, unlike that of any other. Hashed, since of a seed torch's
    generator only takes the lowest 32 bits."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
