"""Video files to frames with PTS seconds; nothing about models."""
