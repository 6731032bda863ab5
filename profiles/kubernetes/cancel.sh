#!/bin/sh
# Snakemake calls it with the names of jobs and gives it two seconds: the request is left to a process of its own.
setsid python "$(dirname "$0")/jobs.py" cancel "$@" &
