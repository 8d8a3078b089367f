"""A module for each tool; each runs in the environment of its tool."""
