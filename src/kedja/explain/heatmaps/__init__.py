"""Heat maps: which places of an image or a series speak for an answer of a network (scope 7, 8.6)."""
