"""The gRPC contract and its generated messages."""
