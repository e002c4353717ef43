"""The report that a person reads: one HTML file, and the same numbers in the terminal."""
