"""Ring 0: everything that is decided, without I/O, clock or randomness."""
