"""``python -m lecturekit``: the same as the command ``lecturekit``."""

import sys

try:
    from lecturekit.upkeep.cli import app
except ImportError as missing:  # too old a Python, or no packages: the doctor looks at it all the same
    from lecturekit.upkeep import doctor

    print(f"({missing})")
    sys.exit(doctor.main())

app(prog_name="lecturekit")
