"""Imports what solutions may import: behind the wall there are no files.

These are the modules of the standard library that programming problems are
solved with. The import of any other module raises ModuleNotFoundError.
"""

import asyncio
import importlib
import selectors

MODULES = """
abc argparse array ast asyncio base64 binascii bisect builtins bz2 calendar
cmath cmd code codecs codeop collections collections.abc colorsys
concurrent.futures concurrent.futures.process concurrent.futures.thread
configparser contextlib contextvars copy copyreg cProfile csv ctypes dataclasses
datetime decimal difflib dis doctest email.message email.mime.multipart
email.mime.text email.utils enum errno filecmp fileinput fnmatch fractions
functools gc getopt getpass gettext glob graphlib gzip hashlib heapq hmac html
html.parser http.client http.server importlib importlib.metadata
importlib.resources importlib.util inspect io ipaddress itertools json keyword
linecache locale logging logging.config logging.handlers lzma math mimetypes
mmap multiprocessing multiprocessing.pool numbers opcode operator optparse os
os.path pathlib pdb pickle pickletools pkgutil platform plistlib pprint pstats
queue random re reprlib sched secrets select selectors shelve shlex shutil
signal smtplib socket socketserver sqlite3 stat statistics string stringprep
struct subprocess symtable sys sysconfig tarfile tempfile textwrap threading
time timeit token tokenize tomllib traceback tracemalloc types typing
unicodedata unittest unittest.mock urllib.error urllib.parse urllib.request uuid
warnings weakref webbrowser xml.dom.minidom xml.etree.ElementTree xml.sax
zipfile zlib zoneinfo __future__ _strptime encodings.ascii encodings.idna
encodings.latin_1 encodings.punycode encodings.raw_unicode_escape
encodings.unicode_escape encodings.utf_16 encodings.utf_16_be
encodings.utf_16_le encodings.utf_32 encodings.cp1252 encodings.rot_13
encodings.hex_codec encodings.base64_codec
""".split()


def preload() -> None:
  """Imports all of MODULES that this Python has, ready for use."""
  for name in MODULES:
    try:
      importlib.import_module(name)
    except ImportError:  # left out of this build of Python
      continue
  _let_event_loops_run()


def _let_event_loops_run() -> None:
  """Has asyncio's loops wait without the sockets that the wall forbids.

  They serve to wake a loop from another thread, and there is none.
  """
  selectors.DefaultSelector = selectors.SelectSelector
  for name in ("_make_self_pipe", "_close_self_pipe", "_write_to_self"):
    setattr(asyncio.SelectorEventLoop, name, lambda self: None)
