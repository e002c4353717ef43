"""What turns evidence into numbers by any metric: estimates, bootstrap draws, permutation nulls."""
