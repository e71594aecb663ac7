"""Retrieval: vectors and links as they ship, the index over them, and users without a vector."""
