"""Labels and pixels to pictures, tables and files, with what made them."""
