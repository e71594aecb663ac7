"""Load: a client that asks a running server as many callers do, and what it measured; not shipped in a Bento."""
