"""One run: variants are made, judged and chosen from."""
