"""What every maker is given: a cache, a line of progress, the machine."""
