"""Face verification."""
