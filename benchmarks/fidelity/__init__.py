"""Which short training tells what full training would give."""
