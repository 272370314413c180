"""The demonstration: a company of ten thousand, one mail too many, and how it is taken back."""
