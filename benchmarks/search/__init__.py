"""Ours and its peers, with the same target accuracy on the same images, compared in one run."""
