"""How the commands print: to people in words and tables, to machines as JSON."""
