"""Work on many machines: a Ray cluster that is opened, looked over, and given videos to read."""
