"""A function a run: method x benchmark -> `Recipe`."""
