"""Ours and its peers, asked for the same accuracy on the same images, side by side in one run."""
