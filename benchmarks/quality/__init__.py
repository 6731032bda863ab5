"""How well each recipe remembers a film, at the same cost: docs/quality.md."""
