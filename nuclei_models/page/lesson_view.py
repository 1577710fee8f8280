"""A training -> what is seen of it: how far it is, the figures before and after, and the report with pictures."""

from html import escape

from ..training.card import REPORT
from .lessons import Lesson


def as_html(lesson: Lesson) -> str:
    """What stands under the teaching set."""
    head = f"<b>{escape(lesson.title)}</b>"
    if lesson.error:
        return f'<div class="nm-lesson" role="alert">{head} <p>Nothing came of it: {escape(lesson.error)}</p></div>'
    if lesson.result is None:
        return f'<div class="nm-lesson">{head}{_going(lesson)}</div>'
    found = lesson.result
    offered = (
        "It is offered under <i>Settings of the run</i> as a network to compare. Press Segment to see what it finds."
        if lesson.key
        else "So there is no new network to compare."
    )
    parts = [f"<p role='status'>{escape(found['why'])} {offered}</p>", _figures(found)]
    report = lesson.out / REPORT
    if report.is_file():
        page = escape(report.read_text(encoding="utf-8"), quote=True)
        frame = (
            f'<iframe sandbox title="Report of the training, with pictures before and after" srcdoc="{page}"></iframe>'
        )
        parts.append(f"<details><summary>Pictures, before and after</summary>{frame}</details>")
    parts.append(f"<p>The network is in <code>{escape(str(lesson.out))}</code>.</p>")
    return f'<div class="nm-lesson">{head}{"".join(parts)}</div>'


def _going(lesson: Lesson) -> str:
    now = lesson.now
    left = float(now.get("left", lesson.seconds))
    share = min(max(1 - left / lesson.seconds, 0.0), 1.0)
    text = str(now.get("stage", "starting"))
    if now.get("step"):
        text += f", step {now['step']:,}"
    if now.get("loss") is not None:
        text += f", loss {now['loss']:.3f}"
    text += f", about {left / 60:.0f} min left" if left >= 90 else f", about {max(left, 0):.0f} s left"
    if lesson.stopping:
        text = "stopping …"
    return (
        f'<progress max="1" value="{share:.3f}" aria-label="Training"></progress> '
        f'<span role="status">{escape(text)}</span>{_curve(now.get("curve") or [])}'
    )


def _curve(points: list) -> str:
    """Score on held-out images, over the time, as a small SVG."""
    if len(points) < 2:
        return ""
    scores = [score for _, score in points]
    low, high = min(scores), max(scores)
    span = max(high - low, 1e-6)
    line = " ".join(f"{4 + 192 * share:.1f},{40 - 34 * (score - low) / span:.1f}" for share, score in points)
    said = f"Score on held-out images: {scores[0]:.3f} at first, {scores[-1]:.3f} now"
    return (
        f'<p>{said}</p><svg viewBox="0 0 200 44" width="200" height="44" role="img" aria-label="{said}">'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )


def _figures(found: dict) -> str:
    figures = found["figures"]
    if not figures:
        return ""
    columns = {"score": "score", "mAP": "bowl_map", "IoU": "iou", "F1": "f1"}
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}{" (kept)" if name == found["kept"] else ""}</th>'
        + "".join(f"<td>{row[key]:.3f}</td>" for key in columns.values())
        + "</tr>"
        for name, row in figures.items()
    )
    return (
        '<table class="nm-figures"><caption>On held-out images, before and after</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
