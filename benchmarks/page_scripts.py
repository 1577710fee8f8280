"""What `page_benchmark.py` runs in the browser: what a hand does, and the time until it is seen."""

# the time from a slider's move to the frame that shows the new outlines, in the browser's own clock
MOVE = """value => new Promise((done) => {
  const viewer = document.querySelector('.nm-viewer'), before = viewer.dataset.turn;
  const slider = document.querySelector('#threshold input[type=range]'), start = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  slider.dispatchEvent(new Event('change', { bubbles: true }));
  const observer = new MutationObserver(() => {
    if (viewer.dataset.turn === before) return;
    observer.disconnect();
    requestAnimationFrame(() => done(performance.now() - start));
  });
  observer.observe(viewer, { attributes: true, attributeFilter: ['data-turn'] });
})"""
# the time from the end of a stroke on the first picture to the frame that shows what came of it; the strokes cut the
# nucleus in the middle of the list in two, make it one again, and so on
ACT = """async (what) => {
  const viewer = document.querySelector('.nm-viewer'), { desk } = viewer, [stage] = desk.stages;
  const list = [...desk.nets.unet.nuclei.byNumber.values()].filter((n) => n.w > 8 && n.h > 8);
  const n = (window.chosen ??= list[list.length >> 1]), y = n.y0 + n.h / 2, x = n.x0 + n.w / 2;
  const strokes = { split: [[n.x0 - 2, y], [n.x0 + n.w + 2, y]], merge: [[x, n.y0 + 1], [x, n.y0 + n.h - 1]] };
  const box = stage.node.getBoundingClientRect(), send = (type, point) => {
    const [left, top] = desk.toStage(stage, point);
    const where = { clientX: box.left + left, clientY: box.top + top };
    stage.node.dispatchEvent(new PointerEvent(type, { pointerId: 1, button: 0, ...where }));
  };
  const before = viewer.dataset.acts;
  stage.node.setPointerCapture = () => {};
  const done = new Promise((then, fail) => {
    setTimeout(() => fail(new Error(`nothing came of ${what}`)), 60000);
    new MutationObserver((_, observer) => {
      if (viewer.dataset.acts === before) return;
      observer.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => then(performance.now())));
    }).observe(viewer, { attributes: true, attributeFilter: ['data-acts'] });
  });
  let start;
  if (what === 'undo') { start = performance.now(); desk.undo(); }
  else {
    desk.choose(what);
    send('pointerdown', strokes[what][0]);
    send('pointermove', strokes[what][1]);
    start = performance.now();
    send('pointerup', strokes[what][1]);
  }
  return (await done) - start;
}"""
# milliseconds between frames while the picture is moved, or zoomed in and out, at three times the size of the whole
FRAMES = """async (what) => {
  const { desk } = document.querySelector('.nm-viewer'), frame = () => new Promise(requestAnimationFrame), times = [];
  desk.fit();
  await frame();
  desk.zoomBy(3);
  await new Promise((then) => setTimeout(then, 1500));
  let last = await frame();
  for (let i = 0; i < 120; i++) {
    if (what === 'pan') desk.moveBy(i % 60 < 30 ? -6 : 6, i % 40 < 20 ? 4 : -4);
    else desk.zoomBy(i % 60 < 30 ? 1.03 : 1 / 1.03);
    const now = await frame();
    times.push(now - last);
    last = now;
  }
  desk.fit();
  return times;
}"""
# waits for a title to show; like the above without asking for frames meanwhile, as Playwright does, which costs a core
SHOWN = """title => new Promise((done) => {
  const look = () => [...document.querySelectorAll('.nm-title')].some((node) => node.textContent.includes(title));
  if (look()) return done();
  const observer = new MutationObserver(() => { if (look()) { observer.disconnect(); done(); } });
  observer.observe(document.body, { childList: true, subtree: true });
})"""
# waits until the numbers are those of the nuclei that are drawn
COUNTED = """() => new Promise((done) => {
  const look = () => (document.querySelector('.nm-viewer').desk.isCounted ? done() : setTimeout(look, 50));
  look();
})"""
