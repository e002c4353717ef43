"""Encoders and classifiers, one file per ecosystem."""
