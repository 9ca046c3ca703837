"""What is said in a video: subtitle files beside it, and the text tracks inside it, as cues."""
