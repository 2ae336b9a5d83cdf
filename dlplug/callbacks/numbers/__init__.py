"""Numbers that a training gives: watched, read late, traced when they are not finite."""
