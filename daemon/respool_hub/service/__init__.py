"""What the hub decides and computes. Decisions are functions of plain data; transactions carry them out."""
