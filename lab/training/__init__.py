"""Training: one loop, one model or many seeds at once."""
