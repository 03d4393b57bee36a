"""respool: training runs that survive."""
