"""Files that survive crashes, and checkpoints read from them safely."""
