"""What a user would run instead, and the limit that nobody passes."""
