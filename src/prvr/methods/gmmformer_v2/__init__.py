"""GMMFormer v2."""
