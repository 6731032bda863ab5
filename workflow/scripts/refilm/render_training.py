"""The memory forming, as a film: the same frames at every preview of a training, beside the originals.

python -m refilm.render_training --model results/models/bikes/model.safetensors --title Bikes
    --film results/models/bikes/training.mp4
"""

from pathlib import Path

from refilm.config.recipe import Recipe, metadata_of_model
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.media.encode import encode_video
from refilm.rendering.previews import read_previews
from refilm.rendering.training_film import FPS, SIZE, TrainingFilm


def main(args) -> None:
    folder, known = Path(args.model).parent / "previews", metadata_of_model(args.model)
    if "recipe" not in known:
        raise RefilmError(f"{args.model}: this is not a model of refilm")
    previews = read_previews(folder, Recipe.from_json(known["recipe"]).state_key(), int(known["steps"]))
    if not previews:
        raise RefilmError(f"{folder}: there are no previews of this training: to have them, train the model anew")
    originals = previews[-1][1]["film"]
    alike = [(step, rows["rebuilt"]) for step, rows in previews if rows["film"].shape == originals.shape]
    film = TrainingFilm(args.title, originals, alike)
    encode_video(args.film, film.frames(), len(film), SIZE, FPS, args.crf, None, f"training of {args.title}")
    print(f"{args.film}: {len(alike)} previews up to step {alike[-1][0]:,}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the trained model; its folder keeps the previews")
    parser.add_argument("--title", required=True, help="the model's title")
    parser.add_argument("--film", required=True, help="the MP4 to write")
    parser.add_argument("--crf", type=int, default=14, help="H.264 quality, 0 (lossless) to 51")
    run_command(main, parser)
