"""The command of an inner run of pytest in a process of its own."""

import sys

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:hypothesispytest")
"""Without the plugin of hypothesis, whose summary takes a second to load what no gate uses."""
