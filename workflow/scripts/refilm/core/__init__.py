"""What every other package needs: errors, command line, files, progress, signals, times. Standard library and tqdm only."""
