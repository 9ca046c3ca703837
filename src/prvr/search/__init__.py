"""A sentence in, ranked videos with moments out."""
