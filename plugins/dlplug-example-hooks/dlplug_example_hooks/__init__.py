"""Two modules of hooks: a family of names, and a change to the built model."""
