"""One script per claim; `make bench` runs them all. benchmarks/README.md holds the figures."""
