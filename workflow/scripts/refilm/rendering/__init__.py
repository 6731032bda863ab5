"""Pictures and clips: comparison clips, contact sheets, previews, curves. Pixels come in; no model is called here."""
