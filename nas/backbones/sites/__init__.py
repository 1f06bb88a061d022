"""The search for sites: the places of a network where blocks may go, by one image sent through."""
