"""refilm: a film as a network remembers it.

One command-line module per rule of the pipeline, and the rooms that they share. An import goes only downwards:

    extract_frames train_model reconstruct_film assemble_video render_comparison ...
    viewing/      comparison clips, contact sheets, curves
    training/     step, loop, checkpoint, schedule
    networks/     encoder, decoder, discriminator
    frames/       the HDF5 frame store
    media/        ffmpeg: probe, decode, encode
    settings/     what the user wrote, checked; and what he is told when it is wrong
"""

__version__ = "0.1.0"
