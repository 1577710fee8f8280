"""An event that is sent while the stream of answers ends is answered, however late the end reaches the browser."""

from itertools import count

import gradio as gr
import pytest
from playwright.sync_api import expect

from nuclei_models.page.layout import STREAM

# what tells of a stream's end is held back until the server has taken the second event
LATE = """(() => {
  const { fetch } = window, decoder = new TextDecoder(), encoder = new TextEncoder();
  const taken = new Promise((done) => { window.takenTwice = done; });
  window.taken = 0;
  window.fetch = async (...given) => {
    const answer = await fetch(...given), url = String(given[0]?.url || given[0]);
    if (url.includes('queue/join') && ++window.taken === 2) setTimeout(window.takenTwice, 100);
    if (!url.includes('queue/data')) return answer;
    const late = new TransformStream({
      async transform(chunk, out) {
        const text = decoder.decode(chunk), end = text.indexOf('close_stream');
        const at = end < 0 ? -1 : text.lastIndexOf('data:', end);
        if (at < 0) return out.enqueue(chunk);
        if (at) out.enqueue(encoder.encode(text.slice(0, at)));
        await taken;
        out.enqueue(encoder.encode(text.slice(at)));
      },
    });
    return new Response(answer.body.pipeThrough(late), answer);
  };
})()"""


@pytest.mark.parametrize("head", [STREAM, None], ids=["ours", "as Gradio has it"])
def test_the_next_event_of_a_chain_is_answered(chromium, head):
    with gr.Blocks() as blocks:
        button, first, second = gr.Button("Go"), gr.Textbox(elem_id="first"), gr.Textbox(elem_id="second")
        number = count(1)
        button.click(lambda: next(number), None, first).success(lambda: next(number), None, second)
    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, server_port=None, ssr_mode=False, head=head)
    page = chromium.new_page()
    page.add_init_script(LATE)
    try:
        page.goto(url)
        page.get_by_role("button", name="Go", exact=True).click()
        expect(page.locator("#first textarea")).to_have_value("1")
        if head:
            expect(page.locator("#second textarea")).to_have_value("2")
            page.get_by_role("button", name="Go", exact=True).click()  # and one that is sent in peace
            expect(page.locator("#first textarea")).to_have_value("3")
            expect(page.locator("#second textarea")).to_have_value("4")
        else:  # Gradio alone loses it; once it does not, this script is needed no more
            page.wait_for_function("window.taken === 2")
            page.wait_for_timeout(500)
            expect(page.locator("#second textarea")).to_have_value("")
    finally:
        page.close()
        blocks.close()
