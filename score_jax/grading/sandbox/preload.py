"""Imports what solutions may import: behind the wall there are no files.

These are the modules of the standard library that programming problems are
solved with. The import of any other module raises ModuleNotFoundError.
"""

import importlib

MODULES = """
abc argparse array ast asyncio base64 binascii bisect builtins bz2 calendar
cmath codecs collections collections.abc colorsys concurrent.futures
concurrent.futures.thread configparser contextlib contextvars copy copyreg
cProfile csv ctypes dataclasses datetime decimal difflib dis doctest email.utils
enum errno fnmatch fractions functools gc getpass glob graphlib gzip hashlib
heapq hmac html html.parser importlib inspect io ipaddress itertools json
keyword linecache locale logging lzma math mimetypes multiprocessing numbers
opcode operator os os.path pathlib pdb pickle platform pprint queue random re
reprlib sched secrets select shlex shutil signal socket stat statistics string
stringprep struct subprocess sys tempfile textwrap threading time timeit
tokenize traceback types typing unicodedata unittest urllib.parse uuid warnings
weakref xml.etree.ElementTree zipfile zlib zoneinfo _strptime encodings.ascii
encodings.idna encodings.latin_1 encodings.punycode encodings.raw_unicode_escape
encodings.unicode_escape encodings.utf_16 encodings.utf_16_be
encodings.utf_16_le encodings.utf_32 encodings.cp1252 encodings.rot_13
encodings.hex_codec encodings.base64_codec
""".split()


def preload() -> None:
  """Imports all of MODULES that this Python has."""
  for name in MODULES:
    try:
      importlib.import_module(name)
    except ImportError:  # left out of this build of Python
      continue
