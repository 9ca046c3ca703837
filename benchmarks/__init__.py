"""What takes how long, beside its slow twin."""
