"""Names for Machines that were not given one: two friendly words and a number. Pure."""

from __future__ import annotations

_ADJECTIVES = (
    "amber brave brisk calm clear clever cosy crisp daring dusty eager early fair fleet fond "
    "frank gentle glad golden green handy happy hardy honest humble jolly keen kind lively loyal "
    "lucky mellow merry mild neat nimble noble patient plain polite proud quick quiet ready rosy "
    "rustic sharp shy silver sleepy snug steady still sunny swift tidy tiny warm wise witty young"
)

_NOUNS = (
    "acorn alder aspen badger barn beech birch brook cedar clover cove crane crow dove dune eagle "
    "elm falcon fern field finch fox garden glade grove hare harbor hawk hazel hedge heron hill "
    "ivy jay kite lake lark linden lynx maple marsh meadow moss moth oak otter owl pebble pine "
    "plover pond quail raven reed robin rook rowan sparrow spruce starling stone swan thrush"
)


def machine_name(random: bytes) -> str:
    """A name such as `brave-otter-4711`, from at least 4 random bytes."""
    adjectives, nouns = _ADJECTIVES.split(), _NOUNS.split()
    adjective = adjectives[random[0] % len(adjectives)]
    noun = nouns[random[1] % len(nouns)]
    return f"{adjective}-{noun}-{int.from_bytes(random[2:4], 'big') % 10_000}"
