"""The table of runtimes and precisions, made by the gates themselves; see `__main__`."""
