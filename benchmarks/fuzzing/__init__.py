"""What becomes of damaged input."""
