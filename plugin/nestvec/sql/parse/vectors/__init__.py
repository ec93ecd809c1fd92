"""The types of vectors in a typed tree."""
