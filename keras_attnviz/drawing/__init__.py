"""Pictures out: color maps, overlays, panels, figures."""
