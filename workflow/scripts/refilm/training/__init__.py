"""How the networks learn: one exact step, data as a pure function of the step, a loop that survives being killed."""
