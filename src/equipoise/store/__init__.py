"""What is kept on disk: vectors, rows, predictions, each with its checksum."""
