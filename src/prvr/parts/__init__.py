"""What methods share, without their names: attention, pooling, sampling, scoring, losses."""
