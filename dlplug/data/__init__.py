"""Data modules and what they publish about their data, one file each."""
