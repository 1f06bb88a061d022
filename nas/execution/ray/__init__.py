"""Jobs on a Ray cluster. The only room that knows Ray."""
