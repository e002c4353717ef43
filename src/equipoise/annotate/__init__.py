"""Attributes and labels that nobody wrote down: from captions by versioned word lists, from pictures by a question."""
