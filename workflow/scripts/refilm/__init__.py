"""refilm: a film as a network remembers it.

One command-line module per rule of the pipeline, and the packages that they share. An import goes only downwards:

    extract_frames train_model render_video ...   one command per rule: python -m refilm.<rule>
    rendering/   clips, contact sheets, curves    training/   loop, checkpoints, optimiser
    models/      networks, losses, metrics, inference; a file per recipe
    frames/      the HDF5 files of frames and latents
    media/       ffmpeg: probe, decode, encode, sound
    config/      keys, recipes, the checked configuration
    sources/     images and addresses that films come from
    layout.py    every path under results/
    core/        errors, command line, files, progress, signals, times

pyproject.toml holds the order as contracts for import-linter.
"""

__version__ = "0.3.0.dev0"
