"""What is drawn in the viewer: layers, colours, ways to look."""
