"""How the demo encoder was trained and how its package data is made."""
