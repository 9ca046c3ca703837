"""One file a published method: its settings and its network."""
