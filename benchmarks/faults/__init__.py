"""How gates judge models, data and goldens with realistic damage: see `docs/results/faults.md`."""
