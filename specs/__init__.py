"""What is written: YAML with places, Pydantic models, diagnostics, shipped presets. Never imports torch or networkx."""
