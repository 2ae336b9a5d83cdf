"""Built-in learning-rate schedules, one function each."""
