"""A run folder: started, prepared, carried out, resumed, joined, submitted, compared."""
