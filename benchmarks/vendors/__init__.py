"""Files that other tools quantize, judged by the gates; see `benchmarks.vendors.__main__`."""
