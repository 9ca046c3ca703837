"""The loop, optimisers and schedules, checkpoints; handed everything, imports no model."""
