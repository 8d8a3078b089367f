"""A metric of the user's own."""
