"""How near each rebuilt frame is: a row per frame.

    python -m refilm.measure_film --frames results/frames/256x144/bikes.h5
        --reconstruction results/reconstructions/bikes_by_bikes.h5 --metrics results/metrics/bikes_by_bikes.csv

frame, seconds; psnr in dB; ssim; film_motion, recon_motion: mean change from the frame before in grey levels, and
temporal_error: mean difference of the two changes; film_contrast, recon_contrast; film_sharpness, recon_sharpness.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write
from refilm.core.progress import progress_bar
from refilm.frames.store import FrameStore
from refilm.models import metrics

_CHUNK = 32


def main(args) -> None:
    with FrameStore(args.frames) as film, FrameStore(args.reconstruction) as rebuilt:
        if len(film) != len(rebuilt):
            raise RefilmError(f"{args.reconstruction}: {len(rebuilt)} frames, but {args.frames} has {len(film)}")
        parts = []
        with progress_bar(f"measure {Path(args.metrics).stem}", len(film), " frames") as bar:
            for start in range(0, len(film), _CHUNK):
                parts.append(_measure(film, rebuilt, start))
                bar.update(len(parts[-1]))
        table = pd.concat(parts)
    with atomic_write(Path(args.metrics)) as partial:
        table.round(4).to_csv(partial, index=False)
    pooled = -10 * np.log10(np.mean(10 ** (-table["psnr"] / 10)))
    print(
        f"{args.metrics}: PSNR mean {table['psnr'].mean():.2f}, pooled {pooled:.2f}, worst 5 % "
        f"{table['psnr'].quantile(0.05):.2f} dB; SSIM {table['ssim'].mean():.3f}; sharpness "
        f"{table['recon_sharpness'].sum() / table['film_sharpness'].sum():.2f} of the film's"
    )


def _measure(film: FrameStore, rebuilt: FrameStore, start: int) -> pd.DataFrame:
    before = max(0, start - 1)  # changes need the frame before; the very first frame has none
    x, y = (torch.from_numpy(store[before : start + _CHUNK]) for store in (film, rebuilt))
    changes = {
        "film_motion": metrics.motion(x),
        "recon_motion": metrics.motion(y),
        "temporal_error": metrics.temporal_error(x, y),
    }
    if start == 0:
        changes = {name: torch.cat([torch.full((1,), torch.nan), change]) for name, change in changes.items()}
    x, y = x[start - before :], y[start - before :]
    numbers = np.arange(start, start + len(x))
    columns = {"frame": numbers, "seconds": numbers / float(film.fps)}
    columns |= {"psnr": metrics.psnr(x, y), "ssim": metrics.ssim(x, y)} | changes
    for name, measure in (("contrast", metrics.contrast), ("sharpness", metrics.sharpness)):
        columns |= {f"film_{name}": measure(x), f"rebuilt_{name}": measure(y)}
    return pd.DataFrame({name: np.asarray(values) for name, values in columns.items()})


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--reconstruction", required=True, help="frames file of the rebuilt film")
    parser.add_argument("--metrics", required=True, help="the CSV to write")
    run_command(main, parser)
