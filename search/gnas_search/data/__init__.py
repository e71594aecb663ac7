"""From files to a split dataset: readers, features, splits, the embedded sample."""
