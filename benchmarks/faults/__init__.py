"""What gates say of models, data and goldens damaged as in real life: `docs/results/faults.md`."""
