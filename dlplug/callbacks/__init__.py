"""Built-in Lightning callbacks: the files here are those that a config can name.

What they are made of stands in the folders, by idea; those that no config names in ``implicit``.
"""
