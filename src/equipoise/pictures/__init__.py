"""Pictures through a model: read and decoded ahead of it, block by block, into a store or memory."""

from equipoise.pictures.block import Encode, run_block
from equipoise.pictures.passing import Passed, Work, through
from equipoise.pictures.reading import Picture, Reader, Row, rows_of

__all__ = ["Encode", "Passed", "Picture", "Reader", "Row", "Work", "rows_of", "run_block", "through"]
