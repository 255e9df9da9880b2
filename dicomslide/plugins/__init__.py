"""What other programs find this package by."""
