"""Where images lie, and which level, channel and focal plane each shows."""
