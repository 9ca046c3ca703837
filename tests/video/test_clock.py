"""Times are those of the file's own clock, as players and subtitles count it; whatever its stamps do."""
