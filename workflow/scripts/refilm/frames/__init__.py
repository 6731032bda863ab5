"""Frames and latents on disk: one HDF5 file each per film, with metadata that says where they come from; and shots."""
