"""What is said in a video, written down: its sound, in windows, to words with times; a record a video."""
