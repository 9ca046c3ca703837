"""One folder a method: its network, what it learns from, and a function a run."""
