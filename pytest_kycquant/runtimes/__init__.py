"""How model files are opened and run, and the facts about this machine."""
