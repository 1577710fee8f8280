// Gradio's server ends the stream of answers once nothing is pending. Its browser side opens another for an event only if it has
// read of that end by then: an event that it sent a moment before was answered to nobody (gradio 6.31). So here Gradio reads one
// stream that has no end: whenever an answer is awaited and the server's stream has ended, its next one takes over.
(() => {
  const { fetch } = window, awaited = new Set(), early = new Set(); // numbers of events; early: answered before they were known
  let resume = () => {};

  function sent(event) {
    if (!early.delete(event)) awaited.add(event);
    resume();
  }

  function answered(event) {
    if (!awaited.delete(event)) early.add(event);
  }

  function endless(request, first) {
    const decoder = new TextDecoder(), encoder = new TextEncoder();
    let isOpen = true;

    async function pass(answer, out) { // the server's messages, until it ends the stream
      let text = "", hasEnded = false;
      const reader = answer.body.getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const messages = (text + decoder.decode(part.value, { stream: true })).split("\n\n");
        text = messages.pop();
        for (const message of messages) {
          const { msg, event_id } = message.startsWith("data:") ? JSON.parse(message.slice(5)) : {}; // else a proxy's
          if (msg === "process_completed") answered(event_id);
          if (msg === "close_stream") hasEnded = true;
          else out.enqueue(encoder.encode(`${message}\n\n`));
        }
      }
      isOpen = false;
      if (!hasEnded) throw new Error("The stream of answers broke off.");
    }

    return new ReadableStream({
      start(out) {
        const follow = (answer) => pass(answer, out).then(() => resume()).catch((error) => out.error(error));
        resume = () => {
          if (isOpen || !awaited.size) return;
          isOpen = true;
          fetch(request.clone()).then(follow, (error) => out.error(error));
        };
        follow(first);
      },
    });
  }

  window.fetch = async (...given) => {
    const { pathname } = new URL(given[0]?.url || given[0], window.location);
    if (pathname.endsWith("/queue/join")) {
      const answer = await fetch(...given);
      if (answer.ok) sent((await answer.clone().json()).event_id);
      return answer;
    }
    if (!pathname.endsWith("/queue/data")) return fetch(...given);
    const request = new Request(...given), first = await fetch(request.clone());
    return first.ok ? new Response(endless(request, first), first) : first;
  };
})();
