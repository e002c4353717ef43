"""Images that are made, not found: procedural ones here, generators of later methods beside them."""
