"""What a notebook may take of a laptop, and code that measures it in a kernel."""

#: Largest memory that a notebook may take, MB; the tests hold every notebook to it.
MAX_MB = 1200
#: Prints CPU seconds and the largest memory so far, in MB.
MEASURE = """
import os as _os, sys as _sys
if _sys.platform == "win32":
    import psutil as _psutil
    _peak = _psutil.Process().memory_info().peak_wset / 1e6
else:
    import resource as _resource
    _peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss / (1e6 if _sys.platform == "darwin" else 1e3)
print("measured", _os.times().user + _os.times().system, _peak)
"""
