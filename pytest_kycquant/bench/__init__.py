"""One run: it makes variants, judges them and chooses the one to ship."""
