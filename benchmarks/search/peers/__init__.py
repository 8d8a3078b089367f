"""One module for each tool. Each runs in an environment of its own: `python -m MODULE FOLDER`."""
