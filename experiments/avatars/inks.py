"""Rows of the array of colours, (n, 3) display RGB 0..1, and of the lit tones, (n, 6), of one avatar."""

(SKIN, WARM, LIPS, MOUTH, TONGUE, TEETH, EYE, IRIS, LINE, BROW, HAIR, BEARD, FRAME, LENS, HAT, HAT_BAND,
 EARRING, CLOTH, CLOTH_2, GROUND, GROUND_2) = range(21)
COUNT = 21

# Rows of the lit tones: what shadow and light do to skin, hair and cloth.
ON_SKIN, ON_HAIR, ON_CLOTH = range(3)
