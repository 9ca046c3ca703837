"""What every other room may use: types, errors, settings."""
