"""Search and train: graph neural architecture search for recommenders."""
