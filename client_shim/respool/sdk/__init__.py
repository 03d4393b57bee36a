"""W&B's module names, for code that imports from them when respool stands in its place."""
