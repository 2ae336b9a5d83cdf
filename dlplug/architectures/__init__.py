"""Built-in networks, one file each; torch and the fused ops only."""
