"""The bare encoder."""
