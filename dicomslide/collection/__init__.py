"""Index of a collection of slides: what opening them needs, in a few files."""
