"""The whole pipeline on whole images: detector, crop, liveness and embedder within one budget."""
