"""How the gates of a pipeline judge faults between its stages: see `docs/results/seams.md`."""
