"""Pictures of slides: colours of channels, segments on top, the way up, plots."""
