"""Tasks: from model outputs to scores, error rates and gate results."""
