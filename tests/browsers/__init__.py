"""The page in each browser. A package, so that its browsers end with this folder."""
