"""Reports: rendered from plain records, without pytest and without touching a model."""
