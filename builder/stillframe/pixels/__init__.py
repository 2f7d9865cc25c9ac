"""From pixel data to frames, and from frames to pictures."""
