"""Where films come from: files, folders of images, and downloads."""
