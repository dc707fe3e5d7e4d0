"""Training: the shapes world and what is learned on it."""
