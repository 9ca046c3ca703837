"""A folder on disk -> what embeds queries and turns features into banks: all that search needs of a model."""
