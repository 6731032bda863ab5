"""The configuration: its keys, its checks, and the recipe of a model. No torch."""
