"""The shapes world: captioned videos drawn by a few lines, and an oracle for them."""
