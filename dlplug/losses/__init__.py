"""Built-in losses: function first, module second."""
