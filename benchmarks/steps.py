"""The unit figures of docs/scale.md: frames per second and peak memory of each step, as the rules run them.

    python -m benchmarks.steps FILM [SECONDS] [BASE_CHANNELS] [STEPS]

Snakemake makes every result of SECONDS of the film (20) by one model of BASE_CHANNELS (80) that was trained for STEPS (20)
steps, one job at a time. The duration and memory are those of the jobs' progress files, so of the commands alone.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from refilm import layout

_ROOT = Path(__file__).parent.parent
_UNITS = {"preview_crop", "render_stills", "render_samples", "render_training"}  # whose time does not depend on the film


def main(film: str, seconds: int = 20, base_channels: int = 80, steps: int = 20) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = _config(Path(film).resolve(), seconds, base_channels, steps)
        Path(folder, "config.yaml").write_text(yaml.safe_dump(config))
        words = ["--snakefile", str(_ROOT / "Snakefile"), "--configfile", "config.yaml", "--workflow-profile", "none"]
        targets = [str(_TARGETS[name].format(film="film", model="model", comparison="clip")) for name in _TARGETS]
        command = [sys.executable, "-m", "snakemake", *targets, *words, "--jobs", "1", "--cores", "all", "--quiet", "all"]
        subprocess.run(command, cwd=folder, check=True)
        frames = Path(folder, layout.FRAMES.format(size="256x144", film="film"))
        count = (frames.stat().st_size - (1 << 20)) // (256 * 144 * 3)
        for file in sorted(Path(folder).glob(f"logs/**/*{layout.job_status.SUFFIX}")):
            _print(json.loads(file.read_text()), count, steps)
        for file in sorted(path for path in Path(folder, "results").rglob("*") if path.is_file()):
            print(f"steps: {file.relative_to(folder)}: {file.stat().st_size / 1e6:.2f} MB")


_TARGETS = {
    "video": layout.VIDEO,
    "comparison": layout.COMPARISON,
    "stills": layout.STILLS,
    "metrics": layout.METRICS,
    "crop": layout.CROP_PREVIEW,
    "shots": layout.SHOTS,
    "training": layout.TRAINING_FILM,
    "samples": layout.SAMPLES,
    "drift": layout.DRIFT,
}


def _config(film: Path, seconds: int, base_channels: int, steps: int) -> dict[str, object]:
    return {
        "films": {"film": {"source": str(film), "end": str(seconds)}},
        "models": {"model": {"films": ["film"]}},
        "comparisons": {"clip": {"film": "film", "models": ["model"]}},
        "training": {"steps": steps, "base_channels": base_channels},
    }


def _print(job: dict[str, float], count: int, steps: int) -> None:
    took, rule = job["updated"] - job["started"], job["rule"]
    done = {"train_model": 12 * steps}.get(str(rule), count)
    rate = "" if rule in _UNITS else f", {done / took:.1f} frames/s with its start"
    print(f"steps: {rule}: {took:.1f} s{rate}, {job['peak_mb']:,} MB at its peak")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
