"""What the system tests and the demonstration are made of, one thing a module."""
