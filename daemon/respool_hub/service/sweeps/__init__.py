"""Sweeps: what a configuration means, which point is tried next, and who works on what."""
