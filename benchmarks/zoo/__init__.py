"""Models as teams have them, each gated from its file as a user would gate it."""
