"""Ring 1: one door per foreign thing; each translates that thing's errors once."""
