"""Training: the shapes world, and the training of models on it."""
