"""Shared by all packages: errors, command line, files, progress, sampling, signals, times. Needs only tqdm."""
