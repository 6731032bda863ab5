"""The gallery: one page with all films and reconstructions, that opens without a server.

python -m refilm.render_gallery --page results/gallery/index.html
    --entries '{"films": {"bikes": "Bikes"}, "models": {"bikes": "Bikes"}, "shown": [["bikes", "256x144", ["bikes"]]],
    "pages": ["results/models/bikes/network.html"]}'
"""

import argparse
import json
import os
from pathlib import Path

from refilm import layout
from refilm.core.command_line import command_parser, run_command
from refilm.core.files import atomic_write
from refilm.rendering.gallery import Entry, ModelPages, Video, read_description, render_index


def main(args: argparse.Namespace) -> None:
    page, given = Path(args.page), json.loads(args.entries)
    entries = [_entry(page.parent, film, size, models, given) for film, size, models in given["shown"]]
    videos = {
        heading: [Video(title, _link(video), _link(thumbnail)) for title, video, thumbnail in listed]
        for heading, listed in given.get("videos", {}).items()
    }
    with atomic_write(page) as partial:
        partial.write_text(render_index(entries, _pages(given), videos, args.made_of), encoding="utf-8")
    print(f"{page}: {sum(len(entry.models) for entry in entries):,} reconstructions of {len(given['films']):,} films")


def _link(path: str) -> str:
    """The address of a result on the page."""
    return os.path.relpath(path, Path(layout.GALLERY).parent)


def _pages(given: dict[str, dict[str, str]]) -> dict[str, ModelPages]:
    """The pages of each model, as URLs from the folder of the gallery."""
    kinds = {"network": layout.NETWORK, "findings": layout.FINDINGS}
    pages: dict[str, dict[str, str]] = {}
    for path in given.get("pages", ()):
        for kind, pattern in kinds.items():
            for model in layout.wildcards(pattern, Path(path)).values():
                pages.setdefault(model, {})[kind] = _link(path)
    return {model: ModelPages(**of) for model, of in pages.items()}


def _entry(folder: Path, film: str, size: str, models: list[str], given: dict[str, dict[str, str]]) -> Entry:
    thumbnail, measures = (_link(pattern.format(film=film, size=size)) for pattern in (layout.THUMBNAIL, layout.MEASURES))
    described = read_description(folder / measures)
    titles = {model: given["models"][model] for model in models}
    return Entry(f"{size}/{film}", given["films"][film], titles, thumbnail, described)


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--entries", required=True, help="what is shown, as JSON")
    parser.add_argument("--page", required=True, help="the HTML file to write")
    parser.add_argument("--made-of", default="", help="what a plan knows it by")
    run_command(main, parser)
