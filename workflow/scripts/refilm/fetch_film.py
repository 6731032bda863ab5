"""Download the film of an http, https or s3 address: complete, checked, and resumed when the connection drops.

python -m refilm.fetch_film --source https://example.org/film.mkv --film films/downloads/film.mkv
"""

import argparse
from pathlib import Path

from refilm.config.keys import FilmKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.sources.download import fetch


def main(args: argparse.Namespace) -> None:
    sha256 = fetch(args.source, Path(args.film), args.sha256 and args.sha256.lower(), args.stall_timeout)
    print(f"{args.film}: {Path(args.film).stat().st_size / 1e6:,.1f} MB, sha256 {sha256}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="the address")
    parser.add_argument("--film", required=True, help="the film file to write")
    add_option(parser, FilmKeys, "sha256")
    parser.add_argument("--stall-timeout", type=float, default=600, help="seconds without a new byte after which to give up")
    run_command(main, parser)
