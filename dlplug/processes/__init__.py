"""Several processes of one training: they agree, and watch each other."""
