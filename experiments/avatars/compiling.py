"""How the functions of the pixel loop are compiled: at first use, and with division as in C.

Numba's default checks each division for zero and can raise; the checks cost a tenth of the time and keep
small functions from being inlined. No divisor here can be zero. They are called from compiled code only, so
the wrappers for calls from Python and C are left out.
"""

from numba import njit

pixelwise = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
