"""What is written on the screen of a video, read: pictures to lines, lines to spans; kept as transcripts are."""
