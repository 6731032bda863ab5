"""Pixels, sound and time, through ffmpeg. No tensors and no HDF5 here."""
