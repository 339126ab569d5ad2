"""Building blocks of the system tests and the demonstration, one thing a module."""
