"""Steps: what an export does to its draft, in the order of ``gnas_export.pipeline.STEPS``."""
