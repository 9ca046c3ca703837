"""Pure loss terms, the mining of negatives, and the named weighted sum."""
