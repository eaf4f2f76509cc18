"""Texts that a scene program must never be: code, bombs, and near misses of the language."""

from __future__ import annotations

GOOD = "set_air(1.0)"
ADD = "add(pixels=10, loc=(0.0, -1.0, -5.0), height=1.0, rotation=[ROT], appearance=[CLIP]"


def _added(slot: str) -> str:
    return f"{ADD}, {slot})\nset_dust(1.0)\n"


def _instead(old: str, new: str) -> str:
    assert old in ADD
    return ADD.replace(old, new) + ")\nset_dust(1.0)\n"


CODE = [
    "__import__('os').system('true')",
    "import os\nset_air(1.0)",
    "exec('1')\n",
    'eval("1")\n',
    "open('/etc/passwd')\n",
    "set_air(__import__('os'))\n",
    "set_air((lambda: 1)())\n",
    "set_air(1.0).__class__\n",
    "set_air(1.0); set_dust(1.0)\n",
    "add.__globals__\n",
    "().__class__.__bases__[0].__subclasses__()\n",
    "set_air = 1\n",
    "def add(): pass\n",
    "set_air(1.0 if True else 2.0)\n",
    "set_air([x for x in (1,)])\n",
    "set_air(f'{1}')\n",
    "set_air(*[1])\n",
    "add(**{})\n",
    "set_air(9**9**9)\n",
    "set_air(1+1)\n",
    "set_air(True)\n",
    "set_air(None)\n",
    "@set_air(1.0)\n",
    "while True: pass\n",
]
BOMBS = [
    "(" * 100_000,
    "[" * 60_000 + "\n",
    "set_air(" * 5_000 + "\n",
    "set_air(" + "-" * 50_000 + "1)\n",
    "set_air(" + "9" * 60_000 + ")\n",
    "a" * 200_000,
    "set_air(1.0) " * 5_000 + "\n",
    "set_air(1.0)\n" * 200_000,
    (ADD + ")\n") * 2_000,
    "add(" + "pixels=1, " * 5_000 + ")\n",
    "#" * 5_000_000,
    "set_air(\n" * 3,
    "\x00" * 10,
    '"' * 60_001,
    "[ROT" * 10_000,
    _added('body=("quadruped", [' + "1, " * 600 + "1], [])"),
    "set_air(1e" + "9" * 50 + ")\n",
    "1.0 " * 10_000,
    "#\n" * 2_000_000,
    "\n" * 4_000_000 + "boom()\n",
]
NEAR_MISSES = [
    "set_air(nan)\n",
    "set_air(inf)\n",
    "set_air(1e999)\n",
    "set_air(-1)\n",
    "set_air(1,5)\n",
    "set_air()\n",
    "set_sun(1.0)\n",
    "set_air(1.0)\nset_air(1.0)\n",
    "set_air(1.0\nset_dust(1.0)\n",
    "# scene-program 99\nset_air(1.0)\n",
    "# scene-program x\nset_air(1.0)\n",
    'set_ground("not base64!")\n',
    'set_ground("AHwAfAB8")\n',
    "set_ground([ROT])\n",
    _instead("pixels=10", "pixels=-3"),
    _instead("pixels=10", "pixels=1.5"),
    _instead("(0.0, -1.0, -5.0)", "(0.0, -1.0)"),
    _instead("-5.0", "-5e9"),
    _instead("height=1.0", "height=0"),
    _instead("[ROT]", "[1, 0, 0, 0, 1, 0, 0, 0, -1]"),
    _instead("[ROT]", "[1, 0, 0]"),
    _instead("pixels=10, ", ""),
    _added('asset="../../etc/passwd"'),
    _added('asset="C:\\\\windows"'),
    _added('asset="a..b"'),
    _added('kind="dragon"'),
    _added("kind=[CLIP]"),
    _added('colour="red"'),
    _added('species=""'),
    _added('species="a\u202eb"'),
    _added("confidence=2"),
    _added('body=("quadruped", [1.0], [1.0])'),
    "add_tree" + ADD[3:] + ', kind="bird")\nset_dust(1.0)\n',
    "\ud800\n",
]
HOSTILE = [*CODE, *BOMBS, *NEAR_MISSES]
