"""The request path: from a user to ranked items, torch-free."""
