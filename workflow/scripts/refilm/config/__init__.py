"""The configuration: its keys, its checks, the recipe of a model, and what the rules ask of it. No torch."""
