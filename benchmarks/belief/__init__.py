"""How far the belief can be believed, and what it costs."""
