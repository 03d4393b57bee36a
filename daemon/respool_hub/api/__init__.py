"""HTTP: what a request may be, who may send it, and how the answer is written."""
