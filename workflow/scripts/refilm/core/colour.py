"""Constants of colour spaces."""

BT709_LUMA = (0.2126, 0.7152, 0.0722)  # weights of R, G and B in luma: ITU-R BT.709-6, section 3
