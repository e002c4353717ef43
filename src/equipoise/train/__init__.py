"""Training that every method shares: a resumable loop, its schedule and checkpoints, batches and losses.

Torch is imported when a function is called, never when a module is.
"""
