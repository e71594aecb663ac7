"""Work: what an interrupted export keeps of its finished steps, and goes on from."""
