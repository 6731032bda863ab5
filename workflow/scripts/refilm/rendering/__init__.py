"""What people look at: comparison clips, contact sheets, curves."""
