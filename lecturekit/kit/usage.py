"""What a notebook may take of a laptop, and code that measures it in a kernel."""

#: Largest memory that a notebook may take, MB (1 MB is a million bytes); its test fails above.
MAX_MB = 1200
#: Prints CPU seconds and the largest memory so far, in MB.
MEASURE = """
import sys as _sys, time as _time
if _sys.platform == "win32":
    import psutil as _psutil
    _peak = _psutil.Process().memory_info().peak_wset / 1e6
elif _sys.platform == "linux":  # its ru_maxrss begins with that of the process it was forked from
    _lines = open("/proc/self/status").read().splitlines()
    _peak = next(int(_line.split()[1]) for _line in _lines if _line.startswith("VmHWM")) / 1e3
else:
    import resource as _resource
    _peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss / 1e6
print("measured", _time.process_time(), _peak)
"""
