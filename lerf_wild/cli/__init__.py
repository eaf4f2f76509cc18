"""The `lerf-wild` command: finds the sub-command, runs it, and turns errors into messages.

Adding a command is one line in COMMANDS. Its function takes annotated keyword arguments, which tyro
turns into flags, and its docstring is the help text. A `--json FILE` flag is the type JsonFile
of `lerf_wild.cli.report`. Modules are imported only when their command is run, so that
`lerf-wild --help` is instant.
"""

from __future__ import annotations

import difflib
import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from lerf_wild import __version__
from lerf_wild.errors import LerfWildError

REFUSALS = (
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)
"""How a file system refuses a path that a user gave."""

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("lerf_wild.cli.demo:demo", "habitat, training, phrases, clouds, pictures, report"),
    "synth habitat": ("lerf_wild.cli.synth_habitat:synth_habitat", "make a habitat as a scene"),
    "query": ("lerf_wild.cli.query:query", "is a phrase there, where, and how large"),
    "export": ("lerf_wild.cli.export:export", "point cloud with a relevancy a phrase"),
    "eval": ("lerf_wild.cli.evaluate:evaluate", "PSNR, localisation, mIoU, existence"),
    "render": ("lerf_wild.cli.render:render", "pictures or video with the relevancy laid over"),
    "view": ("lerf_wild.cli.view:view", "the viewer, on loopback"),
    "bake": ("lerf_wild.cli.bake:bake", "a small file that answers with numpy alone"),
    "synth raw": ("lerf_wild.cli.synth_raw:synth_raw", "pictures with scene programs as shards"),
    "synth primitives": (
        "lerf_wild.cli.synth_primitives:synth_primitives",
        "scenes of spheres, cubes, cylinders as shards",
    ),
    "air infer": ("lerf_wild.cli.air:air_infer", "recover the primitives in images"),
    "air eval": ("lerf_wild.cli.air:air_eval", "count, type, position and rotation figures"),
    "animal show": (
        "lerf_wild.cli.animal:animal_show",
        "an animal from words: GLB, mesh, picture",
    ),
    "animal convert": (
        "lerf_wild.cli.animal:animal_convert",
        "a SMAL-family pickle as a body file, read safely",
    ),
    "animal eval": ("lerf_wild.cli.animal_eval:animal_eval", "PCK, S- and PA- errors of answers"),
    "animal infer": (
        "lerf_wild.cli.animal_infer:animal_infer",
        "shape, pose and camera of the animals in photos",
    ),
    "animal fit": (
        "lerf_wild.cli.animal_fit:animal_fit",
        "an animal fitted to keypoints and a mask",
    ),
    "assets add": ("lerf_wild.cli.assets:assets_add", "a GLB, OBJ or PLY into the library"),
    "assets grow": ("lerf_wild.cli.assets_grow:assets_grow", "new individuals of the six kinds"),
    "assets index": ("lerf_wild.cli.assets:assets_index", "list the library, embed what is new"),
    "assets search": ("lerf_wild.cli.assets:assets_search", "assets by words or by a photo"),
    "raw reconstruct": (
        "lerf_wild.cli.raw_reconstruct:raw_reconstruct",
        "photos to scene programs",
    ),
    "raw render": ("lerf_wild.cli.raw:raw_render", "a scene program as picture, GLB or USD"),
    "raw eval": ("lerf_wild.cli.raw:raw_eval", "figures of the program reader"),
    "synth genzoo": (
        "lerf_wild.cli.synth_genzoo:synth_genzoo",
        "pictures of animals with exact pose and shape",
    ),
    "wildlife place": (
        "lerf_wild.cli.wildlife:wildlife_place",
        "assets and animals into a trained scene",
    ),
    "wildlife list": ("lerf_wild.cli.wildlife_edit:wildlife_list", "what is placed in a run"),
    "wildlife move": (
        "lerf_wild.cli.wildlife_edit:wildlife_move",
        "move, turn, scale, hide or show an item",
    ),
    "wildlife swap": (
        "lerf_wild.cli.wildlife_places:wildlife_swap",
        "make an item something else by words",
    ),
    "wildlife walk": (
        "lerf_wild.cli.wildlife_places:wildlife_walk",
        "an animal on its way, as a video",
    ),
    "wildlife where": (
        "lerf_wild.cli.wildlife_places:wildlife_where",
        "where something would have room",
    ),
    "wildlife clear": (
        "lerf_wild.cli.wildlife_clear:wildlife_clear",
        "take a thing of the photos out",
    ),
    "wildlife remove": ("lerf_wild.cli.wildlife_edit:wildlife_remove", "take items out again"),
    "wildlife refine": (
        "lerf_wild.cli.wildlife_edit:wildlife_refine",
        "make items agree with the photos that show them",
    ),
    "wildlife export": (
        "lerf_wild.cli.wildlife_export:wildlife_export",
        "the populated scene as GLB, views as a dataset",
    ),
    "wildlife undo": ("lerf_wild.cli.wildlife_edit:wildlife_undo", "take back the latest change"),
    "wildlife redo": ("lerf_wild.cli.wildlife_edit:wildlife_redo", "do again what was taken back"),
    "doctor": ("lerf_wild.cli.doctor:doctor", "what is installed, what is missing, how to get it"),
}
"""Command words -> ("module:function", what it does in a few words)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; `arguments` defaults to the process's own.

    Exits with code 0 after help, 2 after a message about bad input or bad usage, and 130 when
    interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _dispatch(words)
    except LerfWildError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("stopped.", 130)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has seen enough. Python would complain once more
        # when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _fail(_refusal(error), 2)


def _refusal(error: OSError) -> str:
    """What the file system said no to; raises the error again where that was not about a file."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({error.filename or 'while writing'}). Free some space."
    if error.errno in REFUSALS and error.filename is not None:
        return f"{error.filename}: can't be used ({error.strerror}). Give another path."
    raise error


def _dispatch(words: list[str]) -> None:
    name = command_of(words)
    if name is not None:
        _run(name, words[len(name.split()) :])
    elif words == ["--version"]:
        print(f"lerf-wild {__version__}")
    elif not words or words[0] in ("-h", "--help"):
        print(overview(""))
    elif any(known.startswith(words[0] + " ") for known in COMMANDS):
        _show_group(words)
    else:
        _fail(_unknown(words[0], {known.split()[0] for known in COMMANDS}), 2)


def command_of(words: Sequence[str]) -> str | None:
    """Returns the longest command that the words begin with, or None."""
    for count in (2, 1):
        name = " ".join(words[:count])
        if len(words) >= count and name in COMMANDS:
            return name
    return None


def overview(group: str) -> str:
    """Returns the list of commands, of one group such as "synth" or of all for ""."""
    names = [name for name in COMMANDS if not group or name.split()[0] == group]
    width = max(len(name) for name in names) + 2
    lines = [f"usage: lerf-wild {f'{group} ' if group else ''}COMMAND [flags]", ""]
    lines += [f"  {name:{width}}{COMMANDS[name][1]}" for name in names]
    return "\n".join([*lines, "", "`lerf-wild COMMAND --help` lists a command's flags."])


def _run(name: str, flags: list[str]) -> None:
    import tyro

    module, _, function = COMMANDS[name][0].partition(":")
    tyro.cli(
        getattr(import_module(module), function),
        prog=f"lerf-wild {name}",
        args=flags,
        # nerfstudio's commands take `--flag True`, and ours read the same.
        config=(tyro.conf.FlagConversionOff,),
    )


def _show_group(words: list[str]) -> None:
    rest = [word for word in words[1:] if word not in ("-h", "--help")]
    if not rest:
        print(overview(words[0]))
        return
    known = {name.split()[1] for name in COMMANDS if name.startswith(words[0] + " ")}
    _fail(_unknown(rest[0], known, words[0]), 2)


def _unknown(word: str, known: set[str], group: str = "") -> str:
    prefix = f"{group} " if group else ""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    hint = f" Did you mean `lerf-wild {prefix}{close[0]}`?" if close else ""
    return f"there is no command {prefix + word[:60]!r}.{hint} `lerf-wild --help` lists them all."


def _fail(message: str, code: int) -> None:
    print(f"lerf-wild: {message}", file=sys.stderr)
    raise SystemExit(code)
