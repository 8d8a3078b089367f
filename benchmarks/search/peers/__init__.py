"""One module for each tool, which runs in its own environment: `python -m MODULE FOLDER`."""
