"""The HTTP and gRPC doors around one Recommender."""
