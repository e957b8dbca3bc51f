"""A week of a node's life on the twin: what happens in it, how it is run, and what must have come of it."""
