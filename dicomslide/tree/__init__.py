"""A slide as a tree of labelled arrays."""
