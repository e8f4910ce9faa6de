# Generates and packs nothing.
