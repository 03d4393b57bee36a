"""What the hub keeps: rows of metadata and batches of records in one place, bytes by digest in another."""
