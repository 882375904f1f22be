"""Methods that SCoRe is compared with, where settings do not make them."""
