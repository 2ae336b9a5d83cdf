"""A run: its folder, what is recorded there, and the verbs that train and evaluate."""
