"""The networks and their gradients, one file per recipe, and how a model is saved, loaded and applied."""
