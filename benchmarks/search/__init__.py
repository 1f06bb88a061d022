"""How well and how fast the search proposes networks, and what stopping early saves."""
