"""A model rebuilds a film: every frame in order, through its latents. Both are kept.

python -m refilm.reconstruct_film --frames results/frames/256x144/bikes.h5 --model results/models/bikes/model.safetensors
    --reconstruction results/reconstructions/bikes_by_bikes.h5 --latents results/latents/bikes_by_bikes.h5
"""

from pathlib import Path

import h5py

from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write, check_space
from refilm.core.progress import progress_bar
from refilm.frames.store import FrameStore, write_frames_from
from refilm.models.device import choose_device
from refilm.models.inference import decode_latents, encode_film
from refilm.models.model_file import load_model


def main(args) -> None:
    model = load_model(args.model, choose_device(args.device))
    recipe = model.recipe
    with FrameStore(args.frames) as film:
        if (film.width, film.height) != recipe.size:
            raise RefilmError(
                f"{args.frames}: frames are {film.width}x{film.height}, but {args.model} was trained at {recipe.frame_size}"
            )
        check_space(args.reconstruction, len(film) * film.width * film.height * 3)
        attributes = film.metadata.shared_attributes()
        attributes |= {"model": args.model, "recipe": recipe.to_json(), "noise": args.noise}
        name = Path(args.reconstruction).stem
        with atomic_write(Path(args.latents)) as partial, h5py.File(partial, "w") as latents:
            kept = latents.create_dataset("latents", (len(film), recipe.latent_dim), "f4")
            latents.attrs.update(attributes)

            def rebuilt_batches():
                with progress_bar(f"reconstruct {name}", len(film), " frames") as bar:
                    start = 0
                    for batch in encode_film(model, film, args.noise):
                        kept[start : start + len(batch)] = batch
                        start += len(batch)
                        bar.update(len(batch))
                yield from decode_latents(model, kept)

            count = write_frames_from(args.reconstruction, film.width, film.height, film.metadata, rebuilt_batches())
        if count != len(film):
            raise RefilmError(f"{args.reconstruction}: {count} frames were rebuilt of {len(film)}")
    print(f"{args.reconstruction}: {count} frames")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--model", required=True, help="the model that rebuilds it")
    parser.add_argument("--reconstruction", required=True, help="frames file to write")
    parser.add_argument("--latents", required=True, help="file of latents to write: /latents float32 (N, latent)")
    parser.add_argument(
        "--noise", type=float, default=0.0, help="rebuild from samples of the posterior, so many times as wide"
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "mps", "cpu"])
    run_command(main, parser)
