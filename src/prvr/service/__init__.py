"""What stands in front of the engine: the desk, jobs, media and caches; no HTTP in it."""
