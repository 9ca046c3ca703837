"""Frozen backbones: frames -> (T, E), words -> (W, E)."""
