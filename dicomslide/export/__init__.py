"""Export of slides to other formats."""
