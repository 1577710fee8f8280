// The gallery: every thumbnail is a button. Gradio gives element and trigger.

element.addEventListener("click", (event) => {
  const chosen = event.target.closest("button[data-index]");
  if (chosen) trigger("select", { index: Number(chosen.dataset.index) });
});
