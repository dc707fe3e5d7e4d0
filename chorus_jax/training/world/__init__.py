"""The shapes world: captioned videos of simple shapes, and an oracle to read them."""
