"""One network with every block of a space, whose weights any network of it inherits."""
