"""Shared by all packages: errors, command line, files, job status, progress, sampling, signals, times. Needs only tqdm."""
