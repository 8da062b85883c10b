"""What work costs, counted in what the backend reads."""
