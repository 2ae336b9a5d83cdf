"""Built-in transforms of batches: function first, class second."""
