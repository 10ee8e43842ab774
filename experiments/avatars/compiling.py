"""How the functions of the pixel loop are compiled: at first use, and with division as in C.

Numba's default checks each division for zero and can raise; the checks cost a third of the time and keep
small functions from being inlined. No divisor here can be zero.
"""

from numba import njit

pixelwise = njit(error_model="numpy")
