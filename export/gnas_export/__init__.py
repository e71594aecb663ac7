"""Export: from a checkpoint to a verified artifact."""
