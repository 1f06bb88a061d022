"""How far a proxy can be trusted: the same networks by it and by full training."""
