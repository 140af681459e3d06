"""Stories that read like the terms of the sample programs in docs/programs, and hold them."""
