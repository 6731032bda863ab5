"""Sources of films: files, folders of images, and downloads."""
