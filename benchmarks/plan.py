"""Claim: `snakemake -n` of 100 films by 100 models takes at most 60 s and 1 GiB on 2 cores.

    python -m benchmarks.plan [FILMS] [MODELS]

Nothing is made yet. First the 10,000 videos are planned (20,200 jobs), then what the configuration lists, which is as many
contact sheets besides (30,200 jobs). Prints the CPU time and the memory of Snakemake.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).parent.parent


def main(films: int = 100, models: int = 100) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "films").mkdir()
        config = _config(films, models)
        for film in config["films"]:
            Path(folder, f"films/{film}.mp4").touch()
        Path(folder, "config.yaml").write_text(yaml.safe_dump(config))
        _plan(folder, "videos", [f"results/{pair}.mp4" for pair in config["reconstructions"]])
        _plan(folder, "videos and contact sheets", [])


def _plan(folder: str, what: str, targets: list[str]) -> None:
    options = ["--snakefile", str(_ROOT / "Snakefile"), "--workflow-profile", str(_ROOT / "profiles" / "default")]
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "all", *options, "--configfile", "config.yaml"]
    before, began = _used(), time.monotonic()
    done = subprocess.run([*command, "--cores", "2", *targets], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cpu, wall = _used() - before, time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"plan: {what}: {cpu:.1f} s of CPU time, {wall:.1f} s, {peak:,.0f} MiB; goal 60 s, 1 GiB", flush=True)


def _used() -> float:
    """Seconds of CPU time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _config(films: int, models: int) -> dict[str, Any]:
    names = [f"f{film}" for film in range(films)]
    return {
        "films": {name: {"source": f"films/{name}.mp4"} for name in names},
        "models": {f"m{model}": {"films": [names[model % films]]} for model in range(models)},
        "reconstructions": [f"{name}_by_m{model}" for name in names for model in range(models)],
    }


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
