"""Quality of the reconstructions of each recipe at the same cost: docs/quality.md."""
