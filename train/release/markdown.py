"""Documents with blocks that commands write: `<!-- NAME -->` .. `<!-- end -->`."""

import re
from collections.abc import Mapping


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """The document with every named block written anew.

    Raises:
        SystemExit: The document has no block of that name.
    """
    for name, block in blocks.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        if not re.search(pattern, text, re.S):
            raise SystemExit(f"There is no <!-- {name} --> .. <!-- end --> block to write to.")
        escaped = block.replace("\\", r"\\")
        text = re.sub(pattern, rf"\g<1>{escaped}\n\g<2>", text, flags=re.S)
    return text
