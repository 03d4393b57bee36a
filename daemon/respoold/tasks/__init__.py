"""Ring 2: long-lived trio tasks. Siblings do not import each other; what they share is the `Keeper`."""
