"""The command `blockgraph`: a table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from blockgraph.cli.errors import refusing

# The table is all that `--help` needs: command to its module in this folder and its line of help.
COMMANDS = {
    "demo": ("demo", "Draw, train and sample a small GPT in about three minutes."),
    "new": ("new", "Start a spec of your own from a preset."),
    "validate": ("validate", "Check specs: every error at once, each with its place."),
    "show": ("show", "Print the resolved spec: extends, defaults and --set applied."),
    "fmt": ("fmt", "Write specs in the canonical layout, comments kept."),
    "draw": ("draw", "Draw the architecture as SVG, PNG, PDF or DOT."),
    "diff": ("diff", "Compare two specs: what was added, removed and changed."),
    "serve": ("serve", "Show the architecture in the browser while you write."),
    "build": ("build", "Build the model, list its nodes, run it once as a check."),
    "import": ("import_", "Read a published checkpoint: its spec and its weights."),
    "export": ("export", "Write the model as Python, ONNX, torch.export, or a folder."),
    "trace": ("trace", "Run a text through the model: every node's numbers, and the masks."),
    "train": ("train", "Train as the spec's `train:` section says."),
    "evaluate": ("evaluate", "Measure a run: loss, accuracy, F1, exact match, BLEU, chrF."),
    "predict": ("predict", "Ask a run: go on, fill masks, answer, classify."),
    "compare": ("compare", "Table and plot of several runs."),
    "generate": ("generate", "Continue or translate a text with a run or a published checkpoint."),
    "presets": ("presets", "List the shipped specs."),
    "blocks": ("blocks", "Explain the block types: ports, options, defaults, formula."),
    "schema": ("schema", "Print the JSON Schema that editors complete with."),
    "explain": ("explain", "Explain an error code, with an example of each kind."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"blockgraph.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(unknown_command(args[0]))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with refusing(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


def unknown_command(name: str) -> str:
    from blockgraph.specs.suggest import did_you_mean

    hint = did_you_mean(name, list(COMMANDS))
    return f"there is no command {name!r}" + (f", {hint}" if hint else "")


def print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from blockgraph import __version__

        click.echo(f"blockgraph {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, callback=print_version, expose_value=False, is_eager=True, help="Print the version."
)
@click.option("--debug", is_flag=True, envvar="BLOCKGRAPH_DEBUG", help="Show tracebacks of bugs.")
def app(debug: bool) -> None:
    """One YAML file becomes a Transformer: validated, built in PyTorch, trained, sampled and drawn.

    FILE is a spec's path, a shipped preset's name (`blockgraph presets`), or - for standard input.

    Exit codes: 0 done (warnings too), 1 differs (--check, diff), 2 input refused (--strict: warnings too),
    3 stopped and resumable, 4 disk full or a loss that is not finite.
    """


def main() -> None:
    """The console script. Output is UTF-8 on every system; what a terminal cannot show is escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(encoding="utf-8", errors="backslashreplace")
    app(prog_name="blockgraph")
