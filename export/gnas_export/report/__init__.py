"""The report of an export: what was measured, decided and refused, as JSON, as a page, and as JUnit's XML."""
