"""`base_channels: auto`: how wide the networks are where the configuration does not say.

A model that was trained keeps its width, on whichever machine the project is; another one gets that of the device that will
train it. The main process of Snakemake decides once which device that is, and its jobs find it in their environment: on the
nodes of a cluster they read the configuration again, and may see other devices. No torch, which would slow down every plan.
"""

import argparse
import os
import platform
import sys
from pathlib import Path

from refilm import layout
from refilm.config.keys import AUTO_CHANNELS
from refilm.config.model_folder import ModelFolder
from refilm.config.recipe import Recipe

_PLANNED = "REFILM_PLANNED_DEVICE"
_ON_A_CLUSTER = "cuda"  # whose nodes are not those of the plan
_LOCAL_EXECUTORS = (None, "local", "dryrun", "touch")


def auto_channels(model: str, recipe: Recipe, device: str) -> int:
    """What `base_channels: auto` is for a model. recipe: as it would be otherwise; device: the key of that name."""
    kept = ModelFolder(layout.MODEL.format(model=model)).channels(recipe)
    return kept or AUTO_CHANNELS[planned_device() if device == "auto" else device]


def plan_device(on_cluster: bool) -> None:
    """Decide, in the main process, on which device this run trains where the configuration does not say."""
    os.environ[_PLANNED] = _ON_A_CLUSTER if on_cluster else find_device()


def planned_device() -> str:
    """What the main process decided. Jobs without its environment are those of a cluster."""
    return os.environ.get(_PLANNED, _ON_A_CLUSTER)


def runs_on_cluster(nodes: int | None, options: argparse.Namespace | None) -> bool:
    """Whether Snakemake submits jobs to other machines.

    nodes: how many jobs at once; options: of its command line, which name the executor, while a workflow that is being read
    has no property for it; None if another program uses Snakemake as a library.
    """
    if nodes is None:  # without which no jobs are submitted
        return False
    return options is None or options.executor not in _LOCAL_EXECUTORS


def find_device(root: Path = Path("/")) -> str:
    """What `device: auto` is on this machine, as far as its device files say: cuda, mps or cpu. root: of the file system.

    In a container /proc lists GPUs that it has no device of, and nvidia-smi may be installed without a GPU. Windows gives
    Linux one device for all GPUs, and the library of NVIDIA's driver, if it has that.
    """
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else "cpu"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
    wsl = ["dxg"] if (root / "usr/lib/wsl/lib/libcuda.so.1").exists() else []
    gpus = [gpu for pattern in ("nvidia[0-9]*", *wsl) for gpu in (root / "dev").glob(pattern)]
    return "cuda" if not hidden and any(os.access(gpu, os.R_OK | os.W_OK) for gpu in gpus) else "cpu"
