"""Find the video, and the moment in it, that a sentence describes."""

__version__ = "0.1.0"
