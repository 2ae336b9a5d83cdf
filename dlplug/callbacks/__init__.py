"""Built-in Lightning callbacks, one file each."""
