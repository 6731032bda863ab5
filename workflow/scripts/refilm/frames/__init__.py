"""The HDF5 frame store: written once by ffmpeg, checked, and read at the speed of the disk."""
