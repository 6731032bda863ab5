"""Random numbers as pure functions of their purpose."""

import hashlib

import torch


def generator_for(seed: int, purpose: str, number: int) -> torch.Generator:
    """A CPU generator for one purpose at one step, epoch or frame, independent of all others. The three are hashed, since
    torch's generator uses only the lowest 32 bits of a seed."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
