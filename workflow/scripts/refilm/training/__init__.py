"""Training: the data of each step, the optimiser, a loop that survives being killed."""
